/**
 * What goes wrong in this page, told to the server's log.
 *
 * Few and short: five different ones a page at the most, each once, without what people wrote. With it goes the request that
 * the server failed last, so that the two can be laid side by side.
 */
import type { App } from 'vue'

const AT_MOST = 5
const told = new Set<string>()
let failedRequest = ''

/** The server answered this request with a failure of its own. */
export function noteFailedRequest(requestId: string): void {
  failedRequest = requestId
}

export function reportFailures(app: App): void {
  addEventListener('error', (event) => tell(event.error ?? event.message, `${event.filename}:${event.lineno}:${event.colno}`))
  addEventListener('unhandledrejection', (event) => tell(event.reason, ''))
  app.config.errorHandler = (error, _instance, where) => {
    console.error(error)
    tell(error, where)
  }
}

function tell(error: unknown, source: string): void {
  const message = (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).slice(0, 300)
  if (!message || told.has(message) || told.size >= AT_MOST) return
  told.add(message)
  const body = JSON.stringify({
    message,
    page: location.pathname.slice(0, 200),
    source: source.replace(location.origin, '').slice(0, 200),
    stack: error instanceof Error ? (error.stack ?? '').replaceAll(location.origin, '').slice(0, 2_000) : '',
    failed_request: /^[\w.-]{0,64}$/.test(failedRequest) ? failedRequest : '',
  })
  const headers = { 'Content-Type': 'application/json' }
  // What cannot be told is not told of again: this must never be the next failure.
  void fetch('/api/v1/client-errors', { method: 'POST', headers, body, keepalive: true }).catch(() => {})
}
