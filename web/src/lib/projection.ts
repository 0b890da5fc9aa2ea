/** Positions of updates in their picture. */

export type Place = readonly number[];

/** The largest coordinate of any place, in either direction. */
export const extent = (places: readonly Place[]): number => places.reduce((most, [x = 0, y = 0]) => Math.max(most, Math.abs(x), Math.abs(y)), 0);

interface Placed {
  place?: Place | null;
}

/** Where each update that has a place is drawn, and whether its name has room after it. */
export function positions<Member extends Placed>(members: readonly Member[], span: number, width: number, height: number, edge: number) {
  const half = Math.max(1, Math.min(width, height) / 2 - edge);
  const wide = Math.max(1, width / 2 - edge);
  const scale = span > 0 ? 1 / span : 0;
  return members.flatMap((member) => {
    const [x, y] = member.place ?? [];
    if (x === undefined || y === undefined) return [];
    // A wide picture is stretched along its first axis, along which updates differ most.
    const at = width / 2 + x * scale * wide;
    return [{ member, x: at, y: height / 2 - y * scale * half, after: at < width * 0.72 }];
  });
}
