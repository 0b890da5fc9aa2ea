/** Part of a long row of rounds that a drawing shows: its left end, and how wide a round is. */
export interface View {
  /** The left end, in rounds from the first. */
  left: number;
  /** Pixels of a round. */
  scale: number;
}

/** A round is never wider, in pixels. */
const WIDEST = 24;

/** The view that is nearest to this one and shows rounds alone: `rounds` of them, in `width` pixels. */
export function within(view: View, rounds: number, width: number): View {
  const whole = width / Math.max(1, rounds);
  const scale = Math.min(Math.max(view.scale, whole), Math.max(WIDEST, whole));
  const left = Math.min(Math.max(0, view.left), Math.max(0, rounds - width / scale));
  return { left, scale };
}

/** A view that is `factor` times as large, in which the round at `x` pixels stays where it is. */
export function zoom(view: View, factor: number, x: number, rounds: number, width: number): View {
  const at = view.left + x / view.scale;
  const { scale } = within({ left: 0, scale: view.scale * factor }, rounds, width);
  return within({ left: at - x / scale, scale }, rounds, width);
}

/** The first round of a window of `count` rounds that has this one in its middle. */
export function around(round: number, count: number, rounds: number): number {
  return Math.min(Math.max(0, Math.round(round - count / 2)), Math.max(0, rounds - count));
}
