/**
 * Shares as people read them: per cent with one decimal, halves rounded up. The command line rounds by
 * the same rule (`server/rules/src/evaluation/percent.rs`); both are held against
 * `tests/fixtures/percent.json`.
 */

/** `hits` of `n` in per cent, rounded on the exact fraction: 219 of 240 is "91.3". Of nothing: "0.0". */
export function share(hits: number, n: number): string {
  const [h, all] = [BigInt(hits), BigInt(Math.max(n, 1))];
  const tenths = (2000n * h + all) / (2n * all);
  return `${tenths / 10n}.${tenths % 10n}`;
}

/** A number with one decimal: what is no fraction of counts, as an end of an interval. */
export const decimal = (value: number): string => (Math.floor(value * 10 + 0.5) / 10).toFixed(1);
