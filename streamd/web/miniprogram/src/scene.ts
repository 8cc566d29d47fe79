/**
 * A room as its page shows it: from the room's view to what setData is given, only what is different from the last time.
 *
 * Promise: lists are capped (`MAX_LINES`, `MAX_BULLETS`), nothing is laid over anything in flight, one's own words always fly.
 * Pure: time is given; bullets move by CSS, so that nothing here runs per frame.
 */
import { Lanes } from '@/danmaku/lanes'
import type { Card, ChatLine, Danmaku, RoomView } from '@/room/model'

import type { Patch } from './painter'
import { countdown, filled, price, type Words } from './words'

export const MAX_LINES = 40
export const MAX_BULLETS = 24
const LANES = 5
const LANE_PX = 30
const PX_PER_SECOND = 90
const FONT_PX = 16
/** Most rooms are joined sooner than that, and nothing needs to be said. */
const JOINING_MS = 1_500

export interface Line {
  readonly key: string
  readonly kind: ChatLine['kind']
  readonly name: string
  readonly text: string
  readonly role: string
  readonly own: boolean
  readonly note: string
}

export interface Bullet {
  readonly key: string
  readonly text: string
  readonly own: boolean
  readonly style: string
}

export interface CardShown {
  readonly id: string
  readonly title: string
  readonly image: string
  readonly price: string
  readonly was: string
  readonly stock: string
  readonly sale: string
  readonly soldOut: boolean
}

export interface SceneParts {
  readonly words: Words
  readonly widthPx: number
  readonly nowMs: () => number
  readonly utcNowMs: () => number
  readonly pictureUrl: (path: string) => string
}

export class Scene {
  danmaku = true
  /** The phone says that it has no network: known before the socket knows. */
  noNetwork = false
  private readonly lanes = new Lanes()
  private flying: { readonly bullet: Bullet; readonly id: string; readonly untilMs: number }[] = []
  private painted: Record<string, string> = {}
  private turn = 0
  private readonly openedAtMs: number

  constructor(private readonly parts: SceneParts) {
    this.lanes.resize(LANES, parts.widthPx)
    this.openedAtMs = parts.nowMs()
  }

  /** What came, on its way; others' are left out while the screen is full. */
  fly(messages: readonly Danmaku[], spreadMs: number): void {
    if (!this.danmaku) return
    messages.forEach((message, index) => this.launch(message, (index * spreadMs) / messages.length, false))
  }

  flyOwn(message: Danmaku): void {
    if (this.danmaku) this.launch(message, 0, true)
  }

  retract(ids: readonly string[]): void {
    this.flying = this.flying.filter((one) => !ids.includes(one.id))
  }

  /** What is different from the last time; null for nothing. */
  patch(view: RoomView): Patch | null {
    const nowMs = this.parts.nowMs()
    this.flying = this.flying.filter((one) => one.untilMs > nowMs)
    const { words } = this.parts
    const now: Record<string, unknown> = {
      title: view.title,
      onAir: view.live,
      online: view.online === null ? '' : filled(words.online, { count: view.online }),
      likes: view.likes ?? 0,
      banner: this.banner(view, nowMs),
      mayNotSpeak: hush(view, words, this.parts.utcNowMs()),
      maxLength: view.limits.maxLength,
      pinned: view.pinned ? `${view.pinned.name} ${view.pinned.text}`.trim() : '',
      card: view.card?.product ? this.cardOf(view.card.product) : null,
      lines: view.lines.slice(-MAX_LINES).map((line) => lineOf(line, words)),
      bullets: this.flying.map((one) => one.bullet),
    }
    const patch: Record<string, unknown> = {}
    for (const [key, value] of Object.entries(now)) {
      const text = JSON.stringify(value)
      if (this.painted[key] === text) continue
      this.painted[key] = text
      patch[key] = value
    }
    if ('lines' in patch) patch['turn'] = this.turn = 1 - this.turn
    return Object.keys(patch).length > 0 ? patch : null
  }

  private launch(message: Danmaku, delayMs: number, own: boolean): void {
    if (this.flying.length >= MAX_BULLETS && !own) return
    const nowMs = this.parts.nowMs() + delayMs
    const flight = { widthPx: widthOf(message.text), pxPerSecond: PX_PER_SECOND }
    const lane = own ? this.lanes.takeAnyway(flight, nowMs) : this.lanes.take(flight, nowMs)
    if (lane === null) return
    if (this.flying.length >= MAX_BULLETS) this.flying.shift()
    const durationMs = Math.round(this.lanes.durationMs(flight))
    const color = message.color ? `color:${message.color};` : ''
    const style = `${color}top:${lane * LANE_PX}px;animation-duration:${durationMs}ms;animation-delay:${Math.round(delayMs)}ms`
    const bullet: Bullet = { key: message.id || `s${message.seq}`, text: message.text, own, style }
    this.flying.push({ bullet, id: message.id, untilMs: nowMs + durationMs })
  }

  /** What stands over the room while something is wrong; the picture goes on below it. */
  private banner(view: RoomView, nowMs: number): string {
    const { words } = this.parts
    if (view.link === 'refused') return view.refusal?.code === 'banned' ? words.banned : view.refusal?.message || words.refused
    if (this.noNetwork) return words.noNetwork
    if (view.link === 'away') return words.away
    return view.link === 'connecting' && nowMs > this.openedAtMs + JOINING_MS ? words.connecting : ''
  }

  private cardOf(product: NonNullable<Card['product']>): CardShown {
    const { words, utcNowMs, pictureUrl } = this.parts
    const leftMs = product.sale ? product.sale.endsAtMs - utcNowMs() : 0
    return {
      id: product.id,
      title: product.title,
      image: pictureUrl(product.image),
      price: price(product.priceMinor, product.currency),
      was: product.originalPriceMinor === null ? '' : price(product.originalPriceMinor, product.currency),
      stock: stockWords(product.stock, words),
      sale: leftMs > 0 ? filled(words.ends, { time: countdown(leftMs) }) : '',
      soldOut: product.stock === 0,
    }
  }
}

export function stockWords(stock: number | null, words: Words): string {
  if (stock === 0) return words.soldOut
  return stock !== null && stock <= 10 ? filled(words.left, { count: stock }) : ''
}

function hush(view: RoomView, words: Words, nowMs: number): string {
  if (view.me && view.me.mutedUntilMs > nowMs) return words.muted
  const isStaff = view.me !== null && !['viewer', 'guest'].includes(view.me.role)
  return view.limits.mutedAll && !isStaff ? words.closed : ''
}

function lineOf(line: ChatLine, words: Words): Line {
  const { key, kind } = line
  const plain = { key, kind, name: '', text: '', role: '', own: false, note: '' }
  switch (line.kind) {
    case 'danmaku': {
      const note = line.status === 'sending' ? words.sending : line.status === 'refused' ? line.refusal?.message || words.notSent : ''
      const { message } = line
      return { ...plain, name: message.user.name, text: message.text, role: message.user.role, own: line.own, note }
    }
    case 'order':
      return { ...plain, text: filled(words.bought, { name: line.buyer, count: line.count }) }
    case 'notice':
      return { ...plain, text: line.text }
    case 'skipped':
      return { ...plain, text: filled(words.skipped, { count: line.count }) }
  }
}

/** Near enough: letters are half as wide as characters. */
function widthOf(text: string): number {
  let units = 0
  for (const character of text) units += character.charCodeAt(0) < 0x2e80 ? 0.55 : 1
  return units * FONT_PX + 24
}
