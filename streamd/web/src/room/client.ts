/**
 * A member of one room.
 *
 * Promise: joins, and after any break joins again where it left off; a message is sent until the server has judged it or
 * its time is up, always under the id it began with, so that a retry is never shown twice; likes are counted here and sent
 * once a second. Free of window and wx: the transport, the timers and chance are given.
 */
import { backoffMs } from '@/time/backoff'
import type { Cancel, Timers } from '@/time/timers'

import type { Danmaku, DanmakuMode, Refusal, RoomClient, RoomView } from './model'
import { fields, items, number, readRefusal } from './reading'
import { Connection, NoAnswer } from './socket/connection'
import type { OpenTransport } from './socket/transport'
import { RoomState } from './state'

export interface RoomParts {
  readonly room: string
  readonly token: () => string
  /** The server did not take the token: get another, or none. Resolves when it is worth joining again. */
  readonly renewToken: () => Promise<unknown>
  readonly transport: OpenTransport
  readonly timers: Timers
  readonly utcNowMs: () => number
  readonly random: () => number
  readonly onChange: () => void
  /** New messages to fly over the picture, spread over `spreadMs`. */
  readonly onBullets: (bullets: readonly Danmaku[], spreadMs: number) => void
  /** One's own words, as soon as they are said. */
  readonly onOwn: (message: Danmaku) => void
  /** Messages that must not be seen any longer: taken back by a moderator, or one's own that was refused. */
  readonly onRetracted: (ids: readonly string[]) => void
  readonly onLikes: (count: number) => void
  /** Every event as it came, for those who keep more than the view holds. A repeated one comes again. */
  readonly onNews?: (name: string, payload: unknown) => void
}

const RETURN = { firstMs: 400, capMs: 12_000, jitter: 0.4 }
const LIKES_EVERY_MS = 1_000
const MAX_LIKES_WAITING = 100
/** A message that could not be delivered for so long is given back to its author. */
const DELIVERY_MS = 15_000
/** Pages are hidden and shown more often than networks change. */
const PROBE_EVERY_MS = 10_000
/** Refusals that time does not mend, unless the server names a time. */
const FINAL: ReadonlySet<string> = new Set(['room_required', 'room_not_found', 'room_unknown', 'banned'])
/** Said longer ago than this, a message is for the list only: after a break they would all fly at once. */
const FLIES_MS = 5_000
/** No burst is spread over more than this. */
const SPREAD_MS = 500

export class SocketRoomClient implements RoomClient {
  private readonly state = new RoomState()
  private connection: Connection | null = null
  private joined = false
  private running = false
  private attempts = 0
  private bulletsAtMs = -Infinity
  private probedAtMs = -Infinity
  private likesWaiting = 0
  private cancelReturn: Cancel | null = null
  private cancelLikes: Cancel | null = null
  private waiters: (() => void)[] = []

  constructor(private readonly parts: RoomParts) {}

  view(): RoomView {
    return this.state.view()
  }

  /** Once more after `stop` it resumes where it was. */
  start(): void {
    if (this.running) return
    this.running = true
    if (this.state.link === 'joined') this.state.link = 'away'
    this.connect()
    this.parts.onChange()
  }

  stop(): void {
    this.running = false
    this.cancelReturn?.()
    this.cancelLikes?.()
    this.connection?.close()
    this.joined = false
    this.wakeWaiters()
  }

  /** Somebody signed in or out: join again as who they are now. */
  rejoin(): void {
    if (!this.running) return
    this.connection?.close()
    this.connection = null
    this.joined = false
    this.attempts = 0
    this.connect()
  }

  nudge(): void {
    if (!this.running || this.state.link === 'refused') return
    if (this.connection) {
      this.probe(this.connection)
      return
    }
    this.attempts = 0
    this.connect()
  }

  // ---- being there

  private connect(): void {
    this.cancelReturn?.()
    this.cancelReturn = null
    const { room, token, transport, timers } = this.parts
    const accessToken = token()
    const resume = this.state.position
    const auth = { room, ...(accessToken && { token: accessToken }), ...(resume && { resume }) }
    this.connection = new Connection(transport, auth, timers, {
      onConnected: () => {},
      onRefused: (message, data) => this.onRefused({ message, ...fields(data) }),
      onEvent: (name, payload) => this.onEvent(name, payload),
      onClosed: () => this.onClosed(0),
    })
  }

  private onEvent(name: string, payload: unknown): void {
    this.parts.onNews?.(name, payload)
    if (name === 'welcome') {
      this.state.welcome(payload)
      this.joined = true
      this.attempts = 0
      this.state.link = 'joined'
      this.state.refusal = null
      this.wakeWaiters()
      this.parts.onChange()
      return
    }
    const effects = this.state.event(name, payload)
    this.fly(effects.bullets)
    if (effects.retracted.length > 0) this.parts.onRetracted(effects.retracted)
    if (effects.likes > 0) this.parts.onLikes(effects.likes)
    if (name === 'gap') this.askForPrecious(payload)
    this.parts.onChange()
  }

  /** A tick's messages fly over the time that passed since the last: ticks are short when it is quiet, long when busy. */
  private fly(bullets: readonly Danmaku[]): void {
    const nowMs = this.parts.timers.nowMs()
    const sinceMs = nowMs - this.bulletsAtMs
    if (bullets.length > 0) this.bulletsAtMs = nowMs
    const oldestMs = this.parts.utcNowMs() - FLIES_MS
    const fresh = bullets.filter((bullet) => bullet.atMs > oldestMs)
    if (fresh.length > 0) this.parts.onBullets(fresh, Math.min(SPREAD_MS, Math.max(this.state.pacing.refreshMs, sinceMs)))
  }

  /** Danmaku that were left out stay out; anything of a higher class is fetched. */
  private askForPrecious(payload: unknown): void {
    const { A = 0, B = 0 } = fields(fields(payload)['dropped'])
    const position = this.state.position
    if (number(A) + number(B) === 0 || !position || !this.connection) return
    const ask = { epoch: position.epoch, seq: number(fields(payload)['from_seq']) - 1 }
    void this.catchUp(this.connection.emit('sync', ask))
  }

  /** Whether the room is still at the other end; who asks also hears what they missed. */
  private probe(connection: Connection): void {
    const nowMs = this.parts.timers.nowMs()
    const { position } = this.state
    if (!this.joined || !position || nowMs < this.probedAtMs + PROBE_EVERY_MS) return
    this.probedAtMs = nowMs
    void this.catchUp(connection.probe('sync', position))
  }

  /** Events of a `sync`, each as `[name, payload]`; what is known already counts once. */
  private async catchUp(asked: Promise<unknown>): Promise<void> {
    const answer = await asked.catch(() => null) // the connection ended: the return resumes
    for (const event of items(fields(answer)['events'])) {
      const [name, payload] = items(event)
      if (typeof name === 'string' && name !== 'gap') this.onEvent(name, payload)
    }
  }

  private onRefused(said: unknown): void {
    const refusal = readRefusal(said)
    this.state.refusal = refusal
    if (refusal.code === 'unauthenticated') {
      void this.parts.renewToken().then(() => this.onClosed(0))
      return
    }
    if (FINAL.has(refusal.code) && refusal.retryAfterMs === 0) {
      this.connection = null
      this.joined = false
      this.state.link = 'refused'
      this.wakeWaiters()
      this.parts.onChange()
      return
    }
    this.onClosed(refusal.retryAfterMs)
  }

  private onClosed(leastMs: number): void {
    this.connection = null
    if (this.joined) this.state.link = 'away'
    this.joined = false
    const delayMs = Math.max(leastMs, backoffMs(this.attempts, RETURN, this.parts.random))
    this.attempts += 1
    if (this.running) this.cancelReturn = this.parts.timers.after(delayMs, () => this.connect())
    this.parts.onChange()
  }

  // ---- speaking

  async say(text: string, style: { color?: string; mode?: DanmakuMode } = {}): Promise<Refusal | null> {
    const id = this.newId()
    const { me } = this.state.view()
    const user = me ?? { id: '', name: '', role: 'guest', level: 0 }
    const { color = '', mode = 'scroll' } = style
    const message: Danmaku = { seq: 0, id, user, text, color, mode, atMs: this.parts.utcNowMs() }
    this.state.sending(message)
    this.parts.onOwn(message)
    this.parts.onChange()
    const refusal = await this.deliver({ id, text, ...style })
    this.state.judged(id, refusal)
    if (refusal) this.parts.onRetracted([id])
    this.parts.onChange()
    return refusal
  }

  private async deliver(message: { id: string; text: string }): Promise<Refusal | null> {
    const untilMs = this.parts.timers.nowMs() + DELIVERY_MS
    while (this.running && this.parts.timers.nowMs() < untilMs && this.state.link !== 'refused') {
      if (!this.connection || !this.joined) {
        await this.untilJoined(untilMs)
        continue
      }
      try {
        const answer = fields(await this.connection.emit('danmaku', message))
        if (answer['ok'] === true) return null
        const refusal = readRefusal(answer)
        if (refusal.code !== 'pending') return refusal
        await this.pause(refusal.retryAfterMs) // said before, on a connection that broke; its number is on its way
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error // lost or late: the same id goes out again
      }
    }
    return { code: 'not_delivered', message: '', retryAfterMs: 0 }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.parts.timers.after(ms, resolve))
  }

  private untilJoined(untilMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel()
        resolve()
      }
      const cancel = this.parts.timers.after(untilMs - this.parts.timers.nowMs(), done)
      this.waiters.push(done)
    })
  }

  private wakeWaiters(): void {
    const { waiters } = this
    this.waiters = []
    for (const wake of waiters) wake()
  }

  private newId(): string {
    const part = (): string => Math.floor(this.parts.random() * 2 ** 32).toString(36)
    return `${this.parts.utcNowMs().toString(36)}-${part()}${part()}`
  }

  // ---- liking

  like(count = 1): void {
    this.likesWaiting = Math.min(MAX_LIKES_WAITING, this.likesWaiting + count)
    this.cancelLikes ??= this.parts.timers.after(LIKES_EVERY_MS, () => this.sendLikes())
  }

  private sendLikes(): void {
    this.cancelLikes = null
    const count = this.likesWaiting
    if (count === 0) return
    this.likesWaiting = 0
    if (!this.connection || !this.joined) return // a heart is of its moment
    this.connection.emit('like', { count }).catch(() => {}) // lost hearts are not sent again
  }
}
