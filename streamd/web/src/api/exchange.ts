/**
 * What the API's client needs from its host: one question, one answer.
 *
 * A browser gives `fetch`, a mini-program `wx.request`, a test a function. Nothing else in api/ that both share knows which.
 */
export interface Upload {
  /** Its media type. */
  readonly type: string
}

export interface Question {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** From the server's root: `/api/v1/rooms`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Upload
  readonly timeoutMs: number
}

export interface Reply {
  readonly status: number
  /** Parsed JSON; null when it is none. */
  readonly body: unknown
  /** The value of a header by its name in any case; empty when there is none. */
  readonly header: (name: string) => string
  /** Device UTC when its head arrived. */
  readonly receivedAtMs: number
}

/** Null when there was no answer: refused, reset, timed out, offline. Never throws. */
export type Exchange = (question: Question) => Promise<Reply | null>
