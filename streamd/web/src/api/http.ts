/**
 * Reading the JSON API.
 *
 * Promise: never throws. An answer is a body, a problem (RFC 9457) or "unreachable", so that no caller can forget one
 * of the three. Every answer also sharpens the server clock.
 */
import type { ServerClock } from '@/time/serverClock'

export interface Problem {
  readonly status: number
  readonly code: string
  readonly title: string
  readonly detail: string
  readonly fix: string
}

export type Answer =
  | { readonly kind: 'body'; readonly body: unknown }
  | { readonly kind: 'problem'; readonly problem: Problem }
  | { readonly kind: 'unreachable' }

export interface ReadOptions {
  readonly clock: ServerClock
  readonly timeoutMs?: number
  readonly fetch?: typeof fetch
}

const DEFAULT_TIMEOUT_MS = 8_000

export async function readJson(path: string, options: ReadOptions): Promise<Answer> {
  const abort = new AbortController()
  const alarm = setTimeout(() => abort.abort(), options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
  const sentAtMs = Date.now()
  try {
    const response = await (options.fetch ?? fetch)(path, {
      headers: { Accept: 'application/json' },
      cache: 'no-store',
      signal: abort.signal,
    })
    const receivedAtMs = Date.now()
    const body: unknown = await response.json().catch(() => null)
    observeClock(options.clock, { sentAtMs, receivedAtMs }, response, body)
    // A proxy that cannot reach its server speaks for nobody: the same as no answer.
    if ([502, 503, 504].includes(response.status)) return { kind: 'unreachable' }
    if (!response.ok) return { kind: 'problem', problem: problemFrom(response.status, body) }
    return { kind: 'body', body }
  } catch {
    return { kind: 'unreachable' } // refused, reset, timed out, offline: fetch does not tell them apart
  } finally {
    clearTimeout(alarm)
  }
}

function observeClock(
  clock: ServerClock,
  window: { sentAtMs: number; receivedAtMs: number },
  response: Response,
  body: unknown,
): void {
  const exact = record(body)['server_time_ms']
  if (typeof exact === 'number') {
    clock.observe({ ...window, serverMs: exact, resolutionMs: 1 })
    return
  }
  const date = Date.parse(response.headers.get('Date') ?? '')
  // A cache repeats the Date of the day it stored the answer: Age says so.
  if (Number.isFinite(date) && !response.headers.has('Age')) {
    clock.observe({ ...window, serverMs: date, resolutionMs: 1_000 })
  }
}

export function problemFrom(status: number, body: unknown): Problem {
  const said = record(body)
  return {
    status,
    code: text(said['code']),
    title: text(said['title']),
    detail: text(said['detail']),
    fix: text(said['fix']),
  }
}

/** The value as a record, or an empty one: reading a field of anything is then safe. */
export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

export function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
