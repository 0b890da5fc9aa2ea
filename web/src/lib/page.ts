import type { Component } from 'svelte';
import type { Values } from './match';

/** Data that a page shows: made when somebody comes to the page; closed, if it can be, when they leave. */
export type Source = object;

/** A page as the router and the navigation know it. */
export interface Page {
  path: string;
  /** Its entry in the navigation; the entry leads to the first page that has it. */
  entry: string;
  load(values: Record<string, string>): Source;
  title(source: Source): string;
  component: Component<Record<string, unknown>>;
}

/** A page, checked: its component takes the path's values, and the source that `load` makes of them. */
export function page<Path extends string, Loaded extends Source>(one: {
  path: Path;
  entry: string;
  load(values: Values<Path>): Loaded;
  title(source: Loaded): string;
  component: Component<Values<Path> & { source: Loaded }>;
}): Page {
  return one as unknown as Page;
}
