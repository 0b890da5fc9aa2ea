/**
 * What a page keeps in its address after the question mark: the chosen arm, filters, a search. Back, a
 * reload and a link that is passed on bring it back.
 */
class Address {
  #search = $state(location.search);

  /** The value of a name, or null. */
  get(name: string): string | null {
    return new URLSearchParams(this.#search).get(name);
  }

  /** Sets values; null and the empty text take a name away. The entry of the history stays the same. */
  set(values: Record<string, string | null>): void {
    const query = new URLSearchParams(this.#search);
    for (const [name, value] of Object.entries(values)) {
      if (value === null || value === '') query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString();
    history.replaceState(history.state, '', `${location.pathname}${text === '' ? '' : `?${text}`}${location.hash}`);
    this.read();
  }

  /** Takes over the address as it is now: the router has changed it. */
  read(): void {
    this.#search = location.search;
  }
}

export const address = new Address();
