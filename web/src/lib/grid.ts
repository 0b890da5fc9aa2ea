/** Ways through a grid by keyboard (WAI-ARIA, grid pattern), from one filled cell to the next. */

export type Cell = [row: number, column: number];

/**
 * The cell that a key leads to, or null where the key is none of the grid's or there is no further cell.
 * `filled` says by row and column whether there is something; up and down look for the nearest filled
 * column of the next row that has any. With `whole`, Home and End are those of the whole grid.
 */
export function step(filled: boolean[][], [row, column]: Cell, key: string, whole: boolean): Cell | null {
  const along = (at: number, from: number, by: number): Cell | null => {
    const cells = filled[at] ?? [];
    for (let place = from; place >= 0 && place < cells.length; place += by) if (cells[place]) return [at, place];
    return null;
  };
  const nearest = (at: number): Cell | null => {
    let best: Cell | null = null;
    for (const [place, is] of (filled[at] ?? []).entries())
      if (is && (best === null || Math.abs(place - column) < Math.abs(best[1] - column))) best = [at, place];
    return best;
  };
  const rows = (by: number, find: (at: number) => Cell | null, from = row + by): Cell | null => {
    for (let at = from; at >= 0 && at < filled.length; at += by) {
      const found = find(at);
      if (found !== null) return found;
    }
    return null;
  };
  const last = (at: number): number => (filled[at]?.length ?? 0) - 1;
  switch (key) {
    case 'ArrowRight':
      return along(row, column + 1, 1);
    case 'ArrowLeft':
      return along(row, column - 1, -1);
    case 'ArrowDown':
      return rows(1, nearest);
    case 'ArrowUp':
      return rows(-1, nearest);
    case 'Home':
      return whole ? rows(1, (at) => along(at, 0, 1), 0) : along(row, 0, 1);
    case 'End':
      return whole ? rows(-1, (at) => along(at, last(at), -1), filled.length - 1) : along(row, last(row), -1);
    default:
      return null;
  }
}
