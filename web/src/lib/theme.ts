/** Light, dark, or whatever the system says. The choice is kept in this browser only. */
export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'fedseal-theme';

export function storedTheme(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'auto';
  } catch {
    // A browser that forbids storage still gets the system's theme.
    return 'auto';
  }
}

export function applyTheme(theme: Theme): void {
  if (theme === 'auto') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === 'auto') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // As above: the theme then lasts until the page is closed.
  }
}
