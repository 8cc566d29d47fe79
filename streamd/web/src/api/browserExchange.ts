/**
 * The browser's fetch as the way to the API.
 */
import type { Exchange } from './exchange'

/** `by` is the page's own fetch unless a test gives another. */
export function browserExchange(by: typeof fetch = (...asked) => fetch(...asked)): Exchange {
  return async ({ method, path, headers, body, timeoutMs }) => {
    const abort = new AbortController()
    const alarm = setTimeout(() => abort.abort(), timeoutMs)
    try {
      const sent = body === undefined ? {} : { body: body as BodyInit }
      const response = await by(path, { method, headers, ...sent, cache: 'no-store', signal: abort.signal })
      const receivedAtMs = Date.now()
      const answer: unknown = await response.json().catch(() => null)
      return { status: response.status, body: answer, header: (name) => response.headers.get(name) ?? '', receivedAtMs }
    } catch {
      return null // fetch does not tell the reasons apart
    } finally {
      clearTimeout(alarm)
    }
  }
}
