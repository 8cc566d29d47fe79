/**
 * The other end of a room's transport: speaks packets as a stock Socket.IO server writes them.
 */
import { SocketRoomClient } from '@/room/client'
import type { Danmaku } from '@/room/model'
import type { OpenTransport, TransportEvents } from '@/room/socket/transport'

import { HandTimers } from './handTimers'

export class FakeChannel {
  readonly sent: string[] = []
  closed = false

  constructor(readonly events: TransportEvents) {}

  send(text: string): void {
    this.sent.push(text)
  }

  close(): void {
    this.closed = true
  }

  say(text: string): void {
    this.events.onMessage(text)
  }

  event(name: string, payload: unknown): void {
    this.say(`42${JSON.stringify([name, payload])}`)
  }

  /** The events the client sent, with their acknowledgement ids. */
  get emitted(): { ackId: number; name: string; payload: Record<string, unknown> }[] {
    return this.sent.flatMap((text) => {
      const match = /^42(\d+)(\[.*\])$/.exec(text)
      if (!match) return []
      const [name, payload] = JSON.parse(match[2] ?? '[]') as [string, Record<string, unknown>]
      return [{ ackId: Number(match[1]), name, payload }]
    })
  }

  ack(ackId: number, payload: unknown): void {
    this.say(`43${ackId}${JSON.stringify([payload])}`)
  }

  get auth(): Record<string, unknown> {
    const connect = this.sent.find((text) => text.startsWith('40'))
    return JSON.parse(connect?.slice(2) ?? '{}') as Record<string, unknown>
  }
}

export const WELCOME = {
  room: 'demo',
  title: 'Morning show',
  live: true,
  epoch: 'e1',
  seq: 10,
  online: 7,
  likes: 100,
  card: null,
  pinned: null,
  history: [],
  recovered: false,
  me: { id: 'u1', name: 'Alice', role: 'viewer', muted_until_ms: 0 },
  limits: { max_length: 80, slow_mode_ms: 0, muted_all: false, guests_may_speak: false, likes_per_s: 20 },
  pacing: { refresh_ms: 100, max_delay_ms: 2_000, shown_per_s: 40 },
}

export function danmaku(seq: number, text = `message ${seq}`, id = `id${seq}`) {
  const user = { id: 'u2', name: 'Bob', role: 'viewer', level: 3 }
  return { seq, id, user, text, color: '', mode: 'scroll', at_ms: 1_700_000_000_000 + seq }
}

export class RoomWorld {
  readonly timers = new HandTimers()
  readonly channels: FakeChannel[] = []
  readonly bullets: Danmaku[] = []
  readonly own: string[] = []
  readonly retracted: string[] = []
  likes = 0
  changes = 0
  token = ''
  nextToken = ''
  renewals = 0
  readonly client: SocketRoomClient

  constructor() {
    const transport: OpenTransport = (events) => {
      const channel = new FakeChannel(events)
      this.channels.push(channel)
      return channel
    }
    let chance = 0
    this.client = new SocketRoomClient({
      room: 'demo',
      token: () => this.token,
      renewToken: () => {
        this.renewals += 1
        this.token = this.nextToken
        return Promise.resolve()
      },
      transport,
      timers: this.timers,
      utcNowMs: () => 1_700_000_000_000 + this.timers.nowMs(),
      random: () => (chance = (chance + 0.37) % 1),
      onChange: () => {
        this.changes += 1
      },
      onBullets: (bullets) => void this.bullets.push(...bullets),
      onOwn: (message) => void this.own.push(message.text),
      onRetracted: (ids) => void this.retracted.push(...ids),
      onLikes: (count) => {
        this.likes += count
      },
    })
  }

  get channel(): FakeChannel {
    const newest = this.channels.at(-1)
    if (!newest) throw new Error('no channel was opened')
    return newest
  }

  /** The handshake up to `welcome`. */
  join(welcome: Record<string, unknown> = {}): void {
    this.channel.events.onOpen()
    this.channel.say('0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}')
    this.channel.say('40{"sid":"b"}')
    this.channel.event('welcome', { ...WELCOME, ...welcome })
  }

  texts(): string[] {
    return this.client.view().lines.flatMap((line) => (line.kind === 'danmaku' ? [line.message.text] : [`<${line.kind}>`]))
  }
}
