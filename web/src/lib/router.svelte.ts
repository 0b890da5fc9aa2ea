import { tick } from 'svelte';
import { address } from './address.svelte';
import { decode, match } from './match';
import type { Page, Source } from './page';

const part = encodeURIComponent;
export const href = {
  runs: () => '/',
  run: (run: string) => `/runs/${part(run)}`,
  compare: (runs: string[]) => `/compare?runs=${runs.map(part).join(',')}`,
  answers: (run: string) => `/runs/${part(run)}/answers`,
  round: (run: string, arm: string, round: number) => `/runs/${part(run)}/arms/${part(arm)}?round=${round}`,
  log: (run: string) => `/runs/${part(run)}/log`,
  update: (run: string, update: string) => `/runs/${part(run)}/updates/${part(update)}`,
};

/** Where somebody is: a page with its values and its data, or no page. */
export type Route =
  | { page: Page; path: string; values: Record<string, string>; source: Source }
  | { page: null; path: string };

/** How long a page may take until the place on it that somebody comes back to is there. */
const PATIENCE = 5000;
/** A place is written down when scrolling has paused for so long: browsers bound how often that may be. */
const PAUSE = 150;

function leave(source: Source): void {
  if ('close' in source && typeof source.close === 'function') source.close();
}

/** The page for the address, and the place on it, which the history keeps. */
export class Router {
  route = $state.raw<Route>({ page: null, path: '' });
  #pause: ReturnType<typeof setTimeout> | undefined;
  /** Ends an attempt to come back to a place. */
  #search = new AbortController();

  constructor(readonly pages: Page[]) {
    // A page's content comes after it; the browser would look for the place too early.
    history.scrollRestoration = 'manual';
    addEventListener('popstate', () => {
      clearTimeout(this.#pause);
      this.#show();
      this.#find();
    });
    addEventListener('scroll', () => {
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.#keep(), PAUSE);
    });
    addEventListener('pagehide', () => this.#keep());
    document.addEventListener('click', (event) => this.#follow(event));
    this.#show();
    this.#find();
  }

  go(path: string): void {
    this.#keep();
    history.pushState(null, '', path);
    this.#show();
    this.#find();
    // A new page is announced and reached by keyboard through its heading.
    void tick().then(() => document.querySelector<HTMLElement>('main')?.focus({ preventScroll: true }));
  }

  /** Another place on the same page is no other page. */
  #show(): void {
    address.read();
    const path = location.pathname;
    if (path === this.route.path) return;
    if (this.route.page) leave(this.route.source);
    for (const page of this.pages) {
      const values = match(page.path, path);
      if (values !== null) {
        this.route = { page, path, values, source: page.load(values) };
        return;
      }
    }
    this.route = { page: null, path };
  }

  /** Writes down the place, in the history's entry of this page. */
  #keep(): void {
    clearTimeout(this.#pause);
    history.replaceState({ top: Math.round(scrollY) }, '');
  }

  /** Goes to the place that the history or the address names, as soon as it is there. */
  #find(): void {
    this.#search.abort();
    const search = (this.#search = new AbortController());
    const { signal } = search;
    const state = history.state as { top?: number } | null;
    const top = state?.top;
    const name = decode(location.hash.slice(1));
    // Whoever moves on their own is not moved.
    for (const kind of ['wheel', 'touchstart', 'keydown', 'pointerdown'])
      addEventListener(kind, () => search.abort(), { signal, passive: true });
    const until = performance.now() + PATIENCE;
    const look = (): void => {
      if (signal.aborted) return;
      const element = top === undefined && name !== '' ? document.getElementById(name) : null;
      const wanted = element ? scrollY + element.getBoundingClientRect().top : (top ?? 0);
      const there = document.documentElement.scrollHeight - innerHeight >= wanted;
      if (element) element.scrollIntoView();
      // While the place that was asked for is awaited, the page stays where it is.
      else if (name === '' || top !== undefined) scrollTo(0, wanted);
      const found = name === '' || top !== undefined || element !== null;
      if ((found && there) || performance.now() > until) search.abort();
      else requestAnimationFrame(look);
    };
    void tick().then(look);
  }

  /** Plain clicks on links of this site change the page without a reload; all else is the browser's. */
  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.hasAttribute('download') || (link.getAttribute('target') ?? '') !== '') return;
    // SVG links have an animated href; getAttribute reads both kinds.
    const target = link.getAttribute('href') ?? '';
    // The browser goes there; where it comes from is kept.
    if (target.startsWith('#')) this.#keep();
    if (!target.startsWith('/') || target.startsWith('//') || target.startsWith('/api/')) return;
    event.preventDefault();
    this.go(target);
  }
}
