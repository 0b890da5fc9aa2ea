/** Runs side by side: settings that differ, and differences of shares with their intervals. */

/** A share with its Wilson interval; all but the counts are in [0, 1]. */
interface Share {
  hits: number;
  n: number;
  rate: number;
  low: number;
  high: number;
}

/** A difference of two shares with its 95 % interval, each in [-1, 1]. */
export interface Difference {
  value: number;
  low: number;
  high: number;
}

/**
 * The second share less the first, by Newcombe's hybrid of two Wilson intervals (1998, method 10). The command
 * line computes the same (`server/rules/src/evaluation/difference.rs`).
 */
export function difference(first: Share, second: Share): Difference {
  const value = second.rate - first.rate;
  const below = Math.hypot(second.rate - second.low, first.high - first.rate);
  const above = Math.hypot(second.high - second.rate, first.rate - first.low);
  return { value, low: Math.max(-1, value - below), high: Math.min(1, value + above) };
}

/** Whether the interval has no zero. */
export const isSeen = (d: Difference): boolean => d.low > 0 || d.high < 0;

/** A setting by its dotted name, with the value that each run has of it. */
export interface Setting {
  key: string;
  values: unknown[];
}

/** Values by dotted name; a list is one value. */
function flat(value: unknown, name: string, into: Map<string, unknown>): void {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    for (const [key, inner] of Object.entries(value)) flat(inner, name === '' ? key : `${name}.${key}`, into);
  else into.set(name, value);
}

/** The settings that are not the same in all experiments, by their names. */
export function settings(experiments: unknown[]): Setting[] {
  const all = experiments.map((experiment) => {
    const found = new Map<string, unknown>();
    flat(experiment, '', found);
    return found;
  });
  const keys = [...new Set(all.flatMap((one) => [...one.keys()]))].sort();
  return keys
    .map((key) => ({ key, values: all.map((one) => one.get(key)) }))
    .filter(({ values }) => new Set(values.map((value) => JSON.stringify(value))).size > 1);
}
