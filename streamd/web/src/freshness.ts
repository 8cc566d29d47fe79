/**
 * A page that outlives the server it came from.
 *
 * After an upgrade the files that an open page has not loaded yet are gone, under their old names. When one is missed, and
 * the server does answer, the page loads itself anew; once a minute at the most, so that a file that is really
 * missing is an error and not a loop.
 */
import type { Router } from 'vue-router'

const KEY = 'streamd.reloaded'
const AT_MOST_EVERY_MS = 60_000

export function reloadWhenStale(router: Router): void {
  addEventListener('vite:preloadError', () => void reloadIfServed())
  // A page whose script came, and then asked for another that did not.
  router.onError((error) => {
    if (/dynamically imported module|Importing a module script/i.test(String(error))) void reloadIfServed()
  })
}

async function reloadIfServed(): Promise<void> {
  const last = Number(sessionStorage.getItem(KEY) ?? 0)
  if (Date.now() - last < AT_MOST_EVERY_MS) return
  const answer = await fetch('/', { cache: 'no-store' }).catch(() => null)
  if (!answer?.ok) return // no network: a reload would trade the page for the browser's error
  sessionStorage.setItem(KEY, String(Date.now()))
  location.reload()
}
