import { tick } from 'svelte';

/** The pages, by path. Every one of them is served with index.html, so links can be shared. */
export type Route =
  | { page: 'runs' }
  | { page: 'run'; run: string }
  | { page: 'answers'; run: string }
  | { page: 'update'; run: string; update: string }
  | { page: 'modules' }
  | { page: 'missing'; path: string };

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function parsePath(path: string): Route {
  const [first, second, third, fourth, ...rest] = path.split('/').filter(Boolean).map(decode);
  if (rest.length === 0) {
    if (first === undefined) return { page: 'runs' };
    if (first === 'modules' && second === undefined) return { page: 'modules' };
    if (first === 'runs') {
      if (second === undefined) return { page: 'runs' };
      if (third === undefined) return { page: 'run', run: second };
      if (third === 'answers' && fourth === undefined) return { page: 'answers', run: second };
      if (third === 'updates' && fourth !== undefined)
        return { page: 'update', run: second, update: fourth };
    }
  }
  return { page: 'missing', path };
}

const part = encodeURIComponent;
export const href = {
  runs: () => '/',
  modules: () => '/modules',
  run: (run: string) => `/runs/${part(run)}`,
  answers: (run: string) => `/runs/${part(run)}/answers`,
  update: (run: string, update: string) => `/runs/${part(run)}/updates/${part(update)}`,
};

class Router {
  route = $state<Route>(parsePath(location.pathname));

  constructor() {
    addEventListener('popstate', () => {
      this.route = parsePath(location.pathname);
    });
    document.addEventListener('click', (event) => this.#follow(event));
  }

  go(path: string): void {
    history.pushState(null, '', path);
    this.route = parsePath(location.pathname);
    scrollTo(0, 0);
    // A new page is announced and reached by keyboard through its heading.
    void tick().then(() => document.querySelector<HTMLElement>('main')?.focus());
  }

  /** Plain clicks on links of this site change the page without a reload; all else is the browser's. */
  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.hasAttribute('download') || link.target !== '') return;
    // SVG links have an animated href; getAttribute reads both kinds.
    const target = link.getAttribute('href') ?? '';
    if (!target.startsWith('/') || target.startsWith('//') || target.startsWith('/api/')) return;
    event.preventDefault();
    this.go(target);
  }
}

export const router = new Router();
