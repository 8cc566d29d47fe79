/**
 * Reading the JSON API.
 *
 * Promise: never throws. An answer is a body, a problem (RFC 9457) or "unreachable", so that no caller can forget one
 * of the three. Every answer also sharpens the server clock. Free of window and wx: the exchange is given.
 */
import type { ServerClock } from '@/time/serverClock'

import type { Exchange, Reply } from './exchange'

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
  readonly exchange: Exchange
  readonly timeoutMs?: number
}

const DEFAULT_TIMEOUT_MS = 8_000

export async function readJson(path: string, options: ReadOptions): Promise<Answer> {
  const { clock, exchange, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const sentAtMs = Date.now()
  const reply = await exchange({ method: 'GET', path, headers: { Accept: 'application/json' }, timeoutMs })
  if (!reply) return { kind: 'unreachable' }
  observeClock(clock, sentAtMs, reply)
  // A proxy that cannot reach its server speaks for nobody: the same as no answer.
  if ([502, 503, 504].includes(reply.status)) return { kind: 'unreachable' }
  if (reply.status < 200 || reply.status > 299) return { kind: 'problem', problem: problemFrom(reply.status, reply.body) }
  return { kind: 'body', body: reply.body }
}

function observeClock(clock: ServerClock, sentAtMs: number, reply: Reply): void {
  const window = { sentAtMs, receivedAtMs: reply.receivedAtMs }
  const exact = record(reply.body)['server_time_ms']
  if (typeof exact === 'number') {
    clock.observe({ ...window, serverMs: exact, resolutionMs: 1 })
    return
  }
  const date = Date.parse(reply.header('Date'))
  // A cache repeats the Date of the day it stored the answer: Age says so.
  if (Number.isFinite(date) && reply.header('Age') === '') {
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
