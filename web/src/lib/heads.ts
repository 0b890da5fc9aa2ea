/** Checkpoints of logs that this browser has seen: a log that was cut or rewritten since is found out. */

/** The last signed note of each log, by its origin. */
export type Heads = Record<string, string>;

/** So many logs are remembered; the oldest go first. */
const MOST = 200;

/** Origin and size of a signed note; null for what is none. */
export function headOf(note: string): { origin: string; size: number } | null {
  const [origin, size] = note.split('\n');
  if (!origin || !size || !/^(0|[1-9]\d{0,14})$/.test(size)) return null;
  return { origin, size: Number(size) };
}

/** Heads with a note as the last one of its log. */
export function keepHead(heads: Heads, note: string): Heads {
  const head = headOf(note);
  if (head === null) return heads;
  const others = Object.entries(heads).filter(([origin]) => origin !== head.origin);
  return Object.fromEntries([...others, [head.origin, note] as const].slice(-MOST));
}

/** Heads as they were written down; none of anything else. */
export function parseHeads(text: string | null): Heads {
  try {
    const value = JSON.parse(text ?? '') as Heads | null;
    const notes = Object.entries(value ?? {}).filter(([origin, note]) => typeof note === 'string' && headOf(note)?.origin === origin);
    return Object.fromEntries(notes);
  } catch {
    return {};
  }
}

/** Names in a note's signature lines but the log's own: who says that they cosigned it. */
export function cosigners(note: string): string[] {
  const origin = headOf(note)?.origin;
  const lines = note.slice(note.indexOf('\n\n') + 2).split('\n');
  return lines.map((line) => /^\u2014 (\S+) \S+$/.exec(line)?.[1]).filter((name): name is string => name !== undefined && name !== origin);
}
