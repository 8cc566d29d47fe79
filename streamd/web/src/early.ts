/**
 * Runs before the first paint, in the head: the remembered colours, so that a dark page does not flash white.
 *
 * A file of its own and not an inline script, because the page's policy allows none. Imports nothing; theme.ts takes over
 * when the page is up.
 */
try {
  const kept = JSON.parse(localStorage.getItem('streamd.page') ?? '{}') as { theme?: unknown }
  const dark = kept.theme === 'dark' || (kept.theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light'
} catch {
  // no storage, or damaged: the stylesheet follows the system
}
