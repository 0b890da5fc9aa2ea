/** Scales and paths of the charts, by d3's modules. */
import { scaleLinear } from 'd3-scale';
import { area, line } from 'd3-shape';

/** A measured share at x, with the ends of its interval. */
export interface Point {
  x: number;
  y: number;
  low: number;
  high: number;
}

/** The place of a plot in its SVG, in pixels. */
export interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export type Range = [low: number, high: number];

/** Scales of a plot, and the paths of points under them. */
export function plot(x: Range, y: Range, box: Box) {
  const X = scaleLinear(x, [box.left, box.right]);
  const Y = scaleLinear(y, [box.bottom, box.top]);
  const lines = line<Point>((p) => X(p.x), (p) => Y(p.y));
  const bands = area<Point>((p) => X(p.x), (p) => Y(p.low), (p) => Y(p.high));
  return {
    X,
    Y,
    line: (points: Point[]): string => lines(points) ?? '',
    band: (points: Point[]): string => bands(points) ?? '',
  };
}

/** The range of all intervals, widened to round numbers within [0, 1]. */
export function around(points: Range[]): Range {
  if (points.length === 0) return [0, 1];
  const [low, high] = scaleLinear([Math.min(...points.map((p) => p[0])), Math.max(...points.map((p) => p[1]))], [0, 1]).nice(5).domain();
  return [Math.max(0, low ?? 0), Math.min(1, high ?? 1)];
}

/** Places along a line, pushed apart to `gap` at least, between `from` and `to` where there is room. */
export function apart<Label extends { y: number }>(labels: Label[], gap: number, from: number, to: number): Label[] {
  const list = labels.map((label) => ({ ...label })).sort((a, b) => a.y - b.y);
  let floor = from;
  for (const label of list) {
    label.y = Math.max(label.y, floor);
    floor = label.y + gap;
  }
  let ceiling = to;
  for (const label of [...list].reverse()) {
    label.y = Math.min(label.y, ceiling);
    ceiling = label.y - gap;
  }
  return list;
}
