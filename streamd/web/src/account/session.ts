/**
 * Being signed in, in all tabs of one browser.
 *
 * The server gives a short-lived access token and a refresh token that is good once: used twice, it ends the session. So the
 * pair is kept where all tabs see it (localStorage; the page's policy keeps foreign script away from it), and a renewal happens in one tab at
 * a time, which first looks whether another has just done it. Signing out ends the session on the server too.
 *
 * Promise: `token()` is a token that was good a moment ago, or empty; a session the server no longer knows is forgotten, one that
 * it could not be asked about is kept. Free of Vue; storage, sending and locking are given.
 */
import { number, record, text } from '@/api/http'
import type { Send, Sent } from '@/api/sending'

export interface SessionUser {
  readonly id: string
  readonly name: string
  readonly displayName: string
  readonly role: string
}

export interface SignInProblem {
  /** `credentials`, `taken`, `disabled`, `busy`, `lost`, `invalid`, or the server's own code. */
  readonly code: string
  readonly detail: string
  readonly retryAfterMs: number
}

/** As localStorage; may throw. */
export interface SessionStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}

export interface SessionParts {
  readonly storage: SessionStorage
  readonly send: Send
  readonly deviceNowMs: () => number
  /** Runs it while no other tab runs the same; the browser's Web Locks where there are any. */
  readonly alone: <T>(run: () => Promise<T>) => Promise<T>
  readonly onChange: () => void
}

interface Kept {
  readonly accessToken: string
  readonly refreshToken: string
  readonly expiresAtMs: number
  readonly user: SessionUser
}

const KEY = 'streamd.session'
/** A token this near its end is renewed before it is used. */
const MARGIN_MS = 60_000

export class Session {
  private kept: Kept | null
  private renewing: Promise<boolean> | null = null

  constructor(private readonly parts: SessionParts) {
    this.kept = this.read()
  }

  get user(): SessionUser | null {
    return this.kept?.user ?? null
  }

  /** For `Authorization: Bearer` and for rooms; empty when nobody is signed in. */
  token(): string {
    return this.kept?.accessToken ?? ''
  }

  /** Another tab signed in, out, or renewed. */
  storageChanged(): void {
    this.take(this.read())
  }

  async signIn(name: string, password: string): Promise<SignInProblem | null> {
    const sent = await this.parts.send({ method: 'POST', path: '/api/v1/sessions', body: { name: name.trim(), password } })
    return this.takeAnswer(sent)
  }

  /** By what an identity provider gave: `wechat` and the code of wx.login. */
  async signInBy(provider: string, code: string): Promise<SignInProblem | null> {
    return this.takeAnswer(await this.parts.send({ method: 'POST', path: `/api/v1/sessions/${provider}`, body: { code } }))
  }

  async register(name: string, password: string, displayName: string): Promise<SignInProblem | null> {
    const body = { name: name.trim(), password, display_name: displayName.trim() }
    const sent = await this.parts.send({ method: 'POST', path: '/api/v1/users', body })
    return sent.kind === 'body' ? this.signIn(name, password) : problemOf(sent)
  }

  async signOut(): Promise<void> {
    const accessToken = this.token()
    this.keep(null)
    // Whether it gets through or not, this browser has forgotten it.
    if (accessToken) await this.parts.send({ method: 'DELETE', path: '/api/v1/sessions', accessToken })
  }

  /** Renews what is about to run out. Call now and then, and before something that needs to be signed in. */
  async fresh(): Promise<void> {
    if (this.kept && this.kept.expiresAtMs - this.parts.deviceNowMs() < MARGIN_MS) await this.renew()
  }

  /** The next pair of tokens; false when the session is over or the server could not be asked. */
  renew(): Promise<boolean> {
    this.renewing ??= this.parts.alone(() => this.renewAlone()).finally(() => (this.renewing = null))
    return this.renewing
  }

  private async renewAlone(): Promise<boolean> {
    const mine = this.kept?.accessToken
    this.take(this.read())
    if (!this.kept) return false
    if (this.kept.accessToken !== mine) return true // another tab was faster
    const body = { refresh_token: this.kept.refreshToken }
    const sent = await this.parts.send({ method: 'POST', path: '/api/v1/sessions/refresh', body })
    if (sent.kind === 'problem' && (sent.problem.status === 401 || sent.problem.status === 403)) this.keep(null)
    return this.takeAnswer(sent) === null
  }

  private takeAnswer(sent: Sent): SignInProblem | null {
    if (sent.kind !== 'body') return problemOf(sent)
    const session = sessionFrom(sent.body, this.parts.deviceNowMs())
    if (!session) return { code: 'lost', detail: '', retryAfterMs: 0 }
    this.keep(session)
    return null
  }

  private keep(session: Kept | null): void {
    try {
      if (session) this.parts.storage.setItem(KEY, JSON.stringify(session))
      else this.parts.storage.removeItem(KEY)
    } catch {
      // forbidden or full: signed in for as long as this page is open
    }
    this.take(session)
  }

  private take(session: Kept | null): void {
    const same = session?.accessToken === this.kept?.accessToken
    this.kept = session
    if (!same) this.parts.onChange()
  }

  private read(): Kept | null {
    try {
      const kept = record(JSON.parse(this.parts.storage.getItem(KEY) ?? 'null'))
      const user = record(kept['user'])
      const accessToken = text(kept['accessToken'])
      const refreshToken = text(kept['refreshToken'])
      if (!accessToken || !refreshToken) return null
      const { id, name, displayName, role } = user
      return {
        accessToken,
        refreshToken,
        expiresAtMs: number(kept['expiresAtMs']) ?? 0,
        user: { id: text(id), name: text(name), displayName: text(displayName), role: text(role) },
      }
    } catch {
      return this.kept ?? null // no storage: what this page knows
    }
  }
}

function sessionFrom(body: unknown, nowMs: number): Kept | null {
  const said = record(body)
  const accessToken = text(said['access_token'])
  const refreshToken = text(said['refresh_token'])
  if (!accessToken || !refreshToken) return null
  const user = record(said['user'])
  const name = text(user['name'])
  return {
    accessToken,
    refreshToken,
    expiresAtMs: nowMs + (number(said['expires_in_s']) ?? 0) * 1_000,
    user: { id: text(user['id']), name, displayName: text(user['display_name']) || name, role: text(user['role']) },
  }
}

const BY_STATUS: Readonly<Record<number, string>> = {
  401: 'credentials',
  403: 'disabled',
  409: 'taken',
  429: 'busy',
  503: 'busy',
  400: 'invalid',
  422: 'invalid',
}

function problemOf(sent: Exclude<Sent, { kind: 'body' }>): SignInProblem {
  if (sent.kind === 'unreachable') return { code: 'lost', detail: '', retryAfterMs: 0 }
  const { problem, retryAfterMs } = sent
  return { code: BY_STATUS[problem.status] ?? problem.code, detail: problem.detail || problem.title, retryAfterMs }
}
