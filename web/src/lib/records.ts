/** Records of a log in words. */

/** Kinds of records, as their `type` has them. */
export const KINDS = [
  'run-opened', 'module-registered', 'client-registered', 'canaries-sealed', 'round-opened', 'update', 'verdict', 'aggregated',
  'evaluated', 'defended', 'key-revoked', 'node-rotated', 'canaries-opened', 'report', 'closed',
] as const;

export type Fields = { type: string } & Record<string, unknown>;

/** An entry's fields; null where it is no record. */
export function fieldsOf(entry: string): Fields | null {
  try {
    const value: unknown = JSON.parse(entry);
    return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' ? (value as Fields) : null;
  } catch {
    return null;
  }
}

const short = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 12) : 'none');
const round = (one: Fields): string => `${one.arm === undefined ? '' : `${String(one.arm)}, `}round ${String(one.round)}`;

/** What a record says, in a line. A kind that is not known is shown by its fields. */
export function inWords(one: Fields): string {
  switch (one.type) {
    case 'run-opened':
      return `by node ${short(one.node)}, over base ${short(one.base)}, ${String(one.created)}`;
    case 'module-registered':
      return `${String(one.name)}, ${short(one.module)}, signed by ${short(one.signer)}`;
    case 'client-registered':
      return `${String(one.client)}, ${String(one.examples)} examples in shard ${short(one.shard)}`;
    case 'round-opened':
      return `${round(one)}: ${Array.isArray(one.clients) ? one.clients.join(', ') : ''} from global adapter ${short(one.global)}`;
    case 'update':
      return `${String(one.client)}, ${round(one)}: ${one.update == null ? 'failed' : `adapter ${short(one.update)}`}`;
    case 'verdict':
      return `${round(one)}, ${String(one.client)}: ${String(one.effect)} by ${String(one.check)}: ${String(one.fact)}`;
    case 'aggregated':
      return `${round(one)}: ${Array.isArray(one.weights) ? one.weights.length : 0} updates counted by ${String(one.rule)}, global adapter ${short(one.global)}`;
    case 'evaluated':
      return `${round(one)}: adapter ${short(one.adapter)}, answers ${short(one.result)}`;
    case 'defended':
      return `${String(one.arm)}: adapter ${short(one.adapter)}`;
    case 'report':
    case 'canaries-sealed':
    case 'canaries-opened':
      return short(one.digest);
    case 'closed':
      return 'nothing follows';
    default: {
      const { type: _, ...rest } = one;
      return JSON.stringify(rest).slice(0, 200);
    }
  }
}

/** A tile of a log of so many entries, as its files lie in the tlog-tiles layout. */
export interface Tile {
  path: string;
  level: string;
  width: number;
}

const WIDTH = 256;
/** So many tiles of a level are named one by one. */
const MOST = 64;

/** "x001/x234/067" for 1234067 (C2SP tlog-tiles). */
export function tilePath(index: number): string {
  const groups = [String(index % 1000).padStart(3, '0')];
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) groups.unshift(`x${String(rest % 1000).padStart(3, '0')}`);
  return groups.join('/');
}

/** The tiles of a log, the last ones of each level, with those that are not full. */
export function tiles(size: number): Tile[] {
  const found: Tile[] = [];
  const add = (level: string, leaves: number): void => {
    const full = Math.floor(leaves / WIDTH);
    for (let index = Math.max(0, full - MOST); index < full; index++) found.push({ path: `tile/${level}/${tilePath(index)}`, level, width: WIDTH });
    const width = leaves % WIDTH;
    if (width > 0) found.push({ path: `tile/${level}/${tilePath(full)}.p/${width}`, level, width });
  };
  add('entries', size);
  for (let level = 0, leaves = size; leaves > 0; level++, leaves = Math.floor(leaves / WIDTH)) add(String(level), leaves);
  return found;
}
