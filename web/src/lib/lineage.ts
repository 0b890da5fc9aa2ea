/** Layout of a lineage graph: sources on top, the submitted adapter at the bottom. */
import type { Lineage, LineageNode } from './names';

export interface Box {
  key: string;
  /** The nodes this box stands for: siblings that only differ in their data are drawn as one. */
  nodes: LineageNode[];
  x: number;
  y: number;
  output: boolean;
}

export interface Edge {
  key: string;
  path: string;
}

export interface Drawing {
  boxes: Box[];
  edges: Edge[];
  width: number;
  height: number;
}

export const BOX = { width: 164, height: 50, gapX: 22, gapY: 44 };
const MARGIN = 6;
/** More siblings than this become one box with a count. */
const MOST_SIBLINGS = 3;

export function drawLineage(lineage: Lineage): Drawing {
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  const consumers = new Map<number, number[]>();
  for (const node of lineage.nodes)
    for (const input of node.inputs)
      consumers.set(input, [...(consumers.get(input) ?? []), node.id]);

  // Group siblings: same kind, same inputs, same consumers.
  const groups = new Map<string, LineageNode[]>();
  for (const node of lineage.nodes) {
    const signature = JSON.stringify([node.kind, node.inputs, consumers.get(node.id) ?? []]);
    groups.set(signature, [...(groups.get(signature) ?? []), node]);
  }
  const boxes: Box[] = [];
  const boxOf = new Map<number, Box>();
  for (const group of groups.values()) {
    const parts = group.length > MOST_SIBLINGS ? [group] : group.map((node) => [node]);
    for (const part of parts) {
      const box: Box = {
        key: String(part[0]?.id ?? ''),
        nodes: part,
        x: 0,
        y: 0,
        output: part.some((node) => node.id === lineage.output),
      };
      boxes.push(box);
      for (const node of part) boxOf.set(node.id, box);
    }
  }

  // Layer of a node: one below its lowest input. Inputs always have smaller ids, so one pass does.
  const layer = new Map<Box, number>();
  const inputsOf = (box: Box): Box[] => [
    ...new Set(
      box.nodes.flatMap((node) => node.inputs.flatMap((id) => (nodes.has(id) ? [boxOf.get(id)] : []))),
    ),
  ].filter((input): input is Box => input !== undefined && input !== box);
  const ordered = [...boxes].sort((a, b) => Number(a.key) - Number(b.key));
  for (const box of ordered)
    layer.set(box, Math.max(-1, ...inputsOf(box).map((input) => layer.get(input) ?? 0)) + 1);
  // A source is moved down next to its first consumer, which shortens long edges.
  for (const box of ordered) {
    if (inputsOf(box).length > 0) continue;
    const below = ordered.filter((other) => inputsOf(other).includes(box));
    if (below.length > 0)
      layer.set(box, Math.min(...below.map((other) => layer.get(other) ?? 1)) - 1);
  }

  const rows: Box[][] = [];
  for (const box of ordered) (rows[layer.get(box) ?? 0] ??= []).push(box);
  const widest = Math.max(1, ...rows.map((row) => row?.length ?? 0));
  const width = widest * BOX.width + (widest - 1) * BOX.gapX + 2 * MARGIN;
  const place = (): void =>
    rows.forEach((row, depth) => {
      const span = row.length * BOX.width + (row.length - 1) * BOX.gapX;
      row.forEach((box, at) => {
        box.x = (width - span) / 2 + at * (BOX.width + BOX.gapX);
        box.y = MARGIN + depth * (BOX.height + BOX.gapY);
      });
    });
  place();
  // Two sweeps of the barycentre rule are enough for graphs of this size.
  for (let sweep = 0; sweep < 2; sweep++) {
    for (const row of rows) {
      const weight = new Map(
        row.map((box) => {
          const near = [...inputsOf(box), ...ordered.filter((other) => inputsOf(other).includes(box))];
          return [box, near.length > 0 ? near.reduce((sum, b) => sum + b.x, 0) / near.length : box.x];
        }),
      );
      row.sort((a, b) => (weight.get(a) ?? 0) - (weight.get(b) ?? 0));
    }
    place();
  }

  const edges: Edge[] = [];
  for (const box of ordered)
    for (const input of inputsOf(box)) {
      const x1 = input.x + BOX.width / 2;
      const y1 = input.y + BOX.height;
      const x2 = box.x + BOX.width / 2;
      const y2 = box.y - 5;
      const bend = Math.max(18, (y2 - y1) / 2);
      edges.push({
        key: `${input.key}-${box.key}`,
        path: `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`,
      });
    }
  const height = rows.length * BOX.height + (rows.length - 1) * BOX.gapY + 2 * MARGIN;
  return { boxes, edges, width, height };
}

/** Which family a node belongs to; the family picks its colour. */
export function family(kind: LineageNode['kind'] | undefined): 'model' | 'shard' | 'literal' | 'generated' | 'raw' | 'step' {
  switch (kind) {
    case 'base':
    case 'global':
    case 'control':
      return 'model';
    case 'shard':
      return 'shard';
    case 'literal':
      return 'literal';
    case 'generated':
      return 'generated';
    case 'raw-read':
    case 'raw-write':
      return 'raw';
    default:
      return 'step';
  }
}
