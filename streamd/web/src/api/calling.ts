/**
 * Calls that are signed, and renewed once when the token has run out.
 *
 * Promise: never throws, and never silent: what was not done comes back as a `Failure`. Deeds carry an Idempotency-Key, so
 * that one that is asked for twice is done once. Free of window and wx: sending, session and chance are given.
 */
import type { Upload } from './exchange'
import type { Send, Sending, Sent } from './sending'

export interface Failure {
  /** 0 when there was no answer. */
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly fix: string
  readonly retryAfterMs: number
  readonly requestId: string
}

export type Result<T> = { readonly ok: true; readonly body: T } | { readonly ok: false; readonly failure: Failure }

export interface Signer {
  token(): string
  fresh(): Promise<void>
  renew(): Promise<boolean>
}

const NO_ANSWER: Failure = { status: 0, code: 'unreachable', detail: '', fix: '', retryAfterMs: 0, requestId: '' }

export class Caller {
  constructor(
    private readonly send: Send,
    private readonly session: Signer,
    private readonly newKey: () => string,
  ) {}

  read<T>(path: string): Promise<Result<T>> {
    return this.call<T>({ method: 'GET', path })
  }

  change<T = null>(method: Sending['method'], path: string, body?: unknown, key?: string): Promise<Result<T>> {
    const repeatable = method === 'POST' ? { idempotencyKey: key ?? this.newKey() } : {}
    return this.call<T>({ method, path, ...repeatable, ...(body === undefined ? {} : { body }) })
  }

  /** A picture as the body. */
  upload<T>(method: 'POST' | 'PUT', path: string, file: Upload): Promise<Result<T>> {
    return this.call<T>({ method, path, upload: file })
  }

  private async call<T>(sending: Sending): Promise<Result<T>> {
    await this.session.fresh()
    let sent = await this.send({ ...sending, accessToken: this.session.token() })
    if (sent.kind === 'problem' && sent.problem.status === 401 && (await this.session.renew())) {
      sent = await this.send({ ...sending, accessToken: this.session.token() })
    }
    return resultOf<T>(sent)
  }
}

export function resultOf<T>(sent: Sent): Result<T> {
  if (sent.kind === 'unreachable') return { ok: false, failure: NO_ANSWER }
  // The server's own description of its answer is kept true by a test against its OpenAPI document.
  if (sent.kind === 'body') return { ok: true, body: sent.body as T }
  const { status, code, title, detail, fix } = sent.problem
  const { retryAfterMs, requestId = '' } = sent
  return { ok: false, failure: { status, code, detail: detail || title, fix, retryAfterMs, requestId } }
}
