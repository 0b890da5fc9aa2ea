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
  federation: (federation: string) => `/federations/${part(federation)}`,
  update: (run: string, update: string) => `/runs/${part(run)}/updates/${part(update)}`,
};

/** Where somebody is: a page with its values and its data, or no page. */
export type Route =
  | { page: Page; path: string; values: Record<string, string>; source: Source }
  | { page: null; path: string };

/** How long a page may take until the place on it that somebody comes back to is there. */
const PATIENCE = 5000;
/** A place is found when it has been the same for so long: what comes late moves what is below it. */
const SETTLED = 400;
/** A place is written down when scrolling has paused for so long: browsers bound how often that may be. */
const PAUSE = 150;

function leave(source: Source): void {
  if ('close' in source && typeof source.close === 'function') source.close();
}

/** A place on a page: how far down, and how far below the start of the section that is read there. */
interface Place {
  top: number;
  section?: string;
  below?: number;
}

function here(): Place {
  const top = Math.round(scrollY);
  const begun = [...document.querySelectorAll('main section[id]')].filter((section) => section.getBoundingClientRect().top < 40);
  const section = begun.at(-1);
  return section === undefined ? { top } : { top, section: section.id, below: -section.getBoundingClientRect().top };
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
    history.replaceState(here(), '');
  }

  /** Goes to the place that the history or the address names, as soon as it is there. */
  #find(): void {
    this.#search.abort();
    const search = (this.#search = new AbortController());
    const { signal } = search;
    const place = history.state as Place | null;
    const name = decode(location.hash.slice(1));
    // Whoever moves on their own is not moved.
    for (const kind of ['wheel', 'touchstart', 'keydown', 'pointerdown'])
      addEventListener(kind, () => search.abort(), { signal, passive: true });
    // The browser keeps what is seen where it is when something comes above it: not while this looks for a place.
    const root = document.documentElement.style;
    root.overflowAnchor = 'none';
    signal.addEventListener('abort', () => (root.overflowAnchor = ''));
    const until = performance.now() + PATIENCE;
    let since = performance.now();
    let at = scrollY;
    const look = (): void => {
      // Somebody else scrolled.
      if (signal.aborted || Math.abs(scrollY - at) > 1) return search.abort();
      const before = scrollY;
      const named = place === null && name !== '' ? document.getElementById(name) : null;
      const section = place?.section === undefined ? null : document.getElementById(place.section);
      const wanted = section ? scrollY + section.getBoundingClientRect().top + (place?.below ?? 0) : (place?.top ?? 0);
      if (named) named.scrollIntoView();
      // While the place that was asked for is awaited, the page stays where it is.
      else if (name === '' || place !== null) scrollTo(0, wanted);
      at = scrollY;
      const there = named !== null || (Math.abs(at - wanted) <= 1 && (place?.section === undefined || section !== null));
      if (!there || Math.abs(at - before) > 1) since = performance.now();
      const now = performance.now();
      if (now - since > SETTLED || now > until) search.abort();
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
