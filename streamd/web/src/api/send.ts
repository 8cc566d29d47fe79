/**
 * Changing things through the JSON API.
 *
 * Promise: never throws; like `readJson`, an answer is a body, a problem or "unreachable". A problem also says when to try again.
 */
import { problemFrom, type Problem } from './http'

export type Sent =
  | { readonly kind: 'body'; readonly body: unknown }
  | { readonly kind: 'problem'; readonly problem: Problem; readonly retryAfterMs: number }
  | { readonly kind: 'unreachable' }

export interface Sending {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly accessToken?: string
}

const TIMEOUT_MS = 15_000

export async function sendJson({ method, path, body, accessToken }: Sending): Promise<Sent> {
  const abort = new AbortController()
  const alarm = setTimeout(() => abort.abort(), TIMEOUT_MS)
  try {
    const response = await fetch(path, {
      method,
      headers: {
        Accept: 'application/json',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(accessToken ? { Authorization: `Bearer ${accessToken}` } : {}),
      },
      signal: abort.signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer: unknown = await response.json().catch(() => null)
    if ([502, 504].includes(response.status)) return { kind: 'unreachable' }
    if (response.ok) return { kind: 'body', body: answer }
    const retryAfterMs = Number(response.headers.get('Retry-After') ?? 0) * 1_000 || 0
    return { kind: 'problem', problem: problemFrom(response.status, answer), retryAfterMs }
  } catch {
    return { kind: 'unreachable' }
  } finally {
    clearTimeout(alarm)
  }
}
