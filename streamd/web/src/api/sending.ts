/**
 * Changing things through the JSON API, and reading what is not for everybody.
 *
 * Promise: never throws; like `readJson`, an answer is a body, a problem or "unreachable". A problem also says when to try
 * again. Free of window and wx: the exchange is given.
 */
import type { Exchange, Question, Upload } from './exchange'
import { problemFrom, type Problem } from './http'

export type Sent =
  | { readonly kind: 'body'; readonly body: unknown }
  | { readonly kind: 'problem'; readonly problem: Problem; readonly retryAfterMs: number; readonly requestId?: string }
  | { readonly kind: 'unreachable' }

export interface Sending {
  readonly method: Question['method']
  readonly path: string
  readonly body?: unknown
  /** A file as the body; its type says what it is. */
  readonly upload?: Upload
  readonly accessToken?: string
  /** The same deed twice, after an answer that was lost, is done once. */
  readonly idempotencyKey?: string
}

export type Send = (sending: Sending) => Promise<Sent>

const TIMEOUT_MS = 15_000

/** `onFailed` hears of requests that the server failed, by its own id for them. */
export function senderBy(exchange: Exchange, onFailed: (requestId: string) => void = () => {}): Send {
  return async ({ method, path, body, upload, accessToken, idempotencyKey }) => {
    const headers = {
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(upload ? { 'Content-Type': upload.type } : {}),
      ...(accessToken ? { Authorization: `Bearer ${accessToken}` } : {}),
      ...(idempotencyKey ? { 'Idempotency-Key': idempotencyKey } : {}),
    }
    const sent = upload ?? (body === undefined ? undefined : JSON.stringify(body))
    const reply = await exchange({ method, path, headers, timeoutMs: TIMEOUT_MS, ...(sent === undefined ? {} : { body: sent }) })
    if (!reply || reply.status === 502 || reply.status === 504) return { kind: 'unreachable' }
    if (reply.status >= 200 && reply.status < 300) return { kind: 'body', body: reply.body }
    const retryAfterMs = Number(reply.header('Retry-After') || 0) * 1_000 || 0
    const requestId = reply.header('X-Request-ID')
    if (reply.status >= 500) onFailed(requestId)
    return { kind: 'problem', problem: problemFrom(reply.status, reply.body), retryAfterMs, requestId }
  }
}
