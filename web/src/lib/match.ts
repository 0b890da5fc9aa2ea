/** Addresses of pages. A pattern has a name after a colon where an address has a value: `/runs/:run`. */

/** The values that a pattern asks for. */
export type Values<Path extends string> = Path extends `${infer Head}/${infer Rest}`
  ? Values<Head> & Values<Rest>
  : Path extends `:${infer Name}`
    ? { [K in Name]: string }
    : unknown;

const parts = (path: string): string[] => path.split('/').filter((part) => part !== '');

/** Decodes a part of an address; one that is not encoded stays as it is. */
export function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The values of a path by a pattern, or null where it is not such a path. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = parts(pattern);
  const found = parts(path);
  if (wanted.length !== found.length) return null;
  const values: Record<string, string> = {};
  for (const [at, part] of wanted.entries()) {
    const own = found[at] ?? '';
    if (part.startsWith(':')) values[part.slice(1)] = decode(own);
    else if (part !== own) return null;
  }
  return values;
}
