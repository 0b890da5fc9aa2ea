/** Runs of rows of one kind, folded: a policy may draw thousands of random numbers in a row. */

/** Rows that follow each other: one, or several of one kind. */
export interface Fold<Row> {
  kind: string;
  rows: Row[];
}

/** So many rows of one kind in a row are folded. */
const LEAST = 3;

/** The rows in their order; `LEAST` or more of one kind that follow each other are one fold. */
export function fold<Row>(rows: Row[], kindOf: (row: Row) => string): Fold<Row>[] {
  const folds: Fold<Row>[] = [];
  for (const row of rows) {
    const kind = kindOf(row);
    const last = folds.at(-1);
    if (last?.kind === kind) last.rows.push(row);
    else folds.push({ kind, rows: [row] });
  }
  return folds.flatMap((one) => (one.rows.length >= LEAST ? [one] : one.rows.map((row) => ({ kind: one.kind, rows: [row] }))));
}
