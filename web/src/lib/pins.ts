/** Node keys that a reader knows. They are kept in this browser only; a run's own word about its key proves nothing. */

/** What is known of a run's node key. */
export type Standing = 'known' | 'seen' | 'first' | 'other';

/** Keys that somebody entered, and the last key of each run. */
export interface Pins {
  known: string[];
  last: Record<string, string>;
}

/** So many runs are remembered; the oldest go first. */
const MOST = 500;

/** A public key in hex, as pages and `fedseal key show` have it; null for anything else. */
export function keyOf(text: string): string | null {
  const hex = text.trim().toLowerCase();
  return /^[0-9a-f]{64}$/.test(hex) ? hex : null;
}

/** Where a run's key stands to what is known. */
export function standing(pins: Pins, run: string, key: string): Standing {
  if (pins.known.includes(key)) return 'known';
  const last = pins.last[run];
  if (last === undefined) return pins.known.length > 0 ? 'other' : 'first';
  return last === key ? 'seen' : 'other';
}

/** With a run's key as its last one. A key that differs from the last one stays so until somebody enters it. */
export function remember(pins: Pins, run: string, key: string): Pins {
  if (pins.last[run] !== undefined) return pins;
  const last = Object.fromEntries([...Object.entries(pins.last), [run, key]].slice(-MOST));
  return { ...pins, last };
}

/** With a key as a known one, and as the last one of a run that has it. */
export function enter(pins: Pins, run: string, own: string, key: string): Pins {
  const known = pins.known.includes(key) ? pins.known : [...pins.known, key];
  return { known, last: own === key ? { ...pins.last, [run]: key } : pins.last };
}

/** Pins as they were written down; none of anything else. */
export function parsePins(text: string | null): Pins {
  try {
    const value = JSON.parse(text ?? '') as Partial<Pins> | null;
    const known = Array.isArray(value?.known) ? value.known.filter((key) => typeof key === 'string' && keyOf(key) === key) : [];
    const last = Object.entries(value?.last ?? {}).filter(([, key]) => typeof key === 'string' && keyOf(key) === key);
    return { known, last: Object.fromEntries(last) };
  } catch {
    return { known: [], last: {} };
  }
}
