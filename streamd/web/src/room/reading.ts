/**
 * From what the server sends to the words of the room.
 *
 * Promise: never throws and never trusts; a field that is missing or of another type becomes its empty value, an unknown
 * field is ignored. Free of window and wx.
 */
import type { Card, Danmaku, DanmakuMode, Me, Pacing, Person, Pinned, Product, Refusal, Role, RoomLimits, Sale, Sanction } from './model'

type Fields = Readonly<Record<string, unknown>>

export function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

export function number(value: unknown, otherwise = 0): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

export function items(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

const ROLES: ReadonlySet<string> = new Set(['admin', 'host', 'assistant', 'moderator', 'viewer', 'guest'])
const DEFAULT_LIMITS: RoomLimits = { maxLength: 100, slowModeMs: 0, mutedAll: false, guestsMaySpeak: true }
const DEFAULT_PACING: Pacing = { refreshMs: 100, maxDelayMs: 2_000 }

/** What a server writes when nobody chose: the page's own colour then, which differs by role. */
const WHITE = '#ffffff'

export function readPerson(value: unknown): Person {
  const said = fields(value)
  const role = text(said['role'])
  return {
    id: text(said['id']),
    name: text(said['name']),
    role: ROLES.has(role) ? (role as Role) : 'viewer',
    level: number(said['level']),
  }
}

export function readMe(value: unknown): Me {
  return { ...readPerson(value), mutedUntilMs: number(fields(value)['muted_until_ms']) }
}

export function readDanmaku(value: unknown): Danmaku {
  const said = fields(value)
  const color = text(said['color'])
  return {
    seq: number(said['seq']),
    id: text(said['id']),
    user: readPerson(said['user']),
    text: text(said['text']),
    color: /^#[0-9a-f]{6}$/i.test(color) && color.toLowerCase() !== WHITE ? color : '',
    mode: readMode(said['mode']),
    atMs: number(said['at_ms']),
  }
}

function readMode(value: unknown): DanmakuMode {
  return value === 'top' || value === 'bottom' ? value : 'scroll'
}

export function readCard(value: unknown): Card | null {
  if (typeof value !== 'object' || value === null) return null
  const said = fields(value)
  return { seq: number(said['seq']), atMs: number(said['at_ms']), product: readProduct(said['product']) }
}

function readProduct(value: unknown): Product | null {
  if (typeof value !== 'object' || value === null) return null
  const said = fields(value)
  const image = text(said['image'])
  return {
    id: String(said['id'] ?? ''),
    title: text(said['title']),
    priceMinor: number(said['price_minor']),
    currency: text(said['currency']) || 'CNY',
    originalPriceMinor: numberOrNull(said['original_price_minor']),
    stock: numberOrNull(said['stock']),
    image: image.startsWith('/') && !image.startsWith('//') ? image : '',
    sale: readSale(said['sale']),
  }
}

function readSale(value: unknown): Sale | null {
  const said = fields(value)
  const endsAtMs = number(said['ends_at_ms'])
  return endsAtMs > 0 ? { startsAtMs: number(said['starts_at_ms']), endsAtMs, limit: numberOrNull(said['limit']) } : null
}

/** From the room's `pinned`: `{message}`, which is a danmaku, or bare words. */
export function readPinned(value: unknown): Pinned | null {
  const { message } = fields(value)
  const words = typeof message === 'string' ? message : text(fields(message)['text'])
  return words === '' ? null : { name: text(fields(fields(message)['user'])['name']), text: words }
}

/** A card after the shop's news of its product: only what the news names changes. */
export function withNews(card: Card, value: unknown): Card {
  const said = fields(value)
  const { product } = card
  if (!product || String(said['id'] ?? '') !== product.id) return card
  const stock = said['status'] === 'sold_out' ? 0 : number(said['stock'], product.stock ?? NaN)
  return {
    ...card,
    product: {
      ...product,
      priceMinor: number(said['price_minor'], product.priceMinor),
      stock: Number.isNaN(stock) ? null : stock,
      sale: 'sale' in said ? readSale(said['sale']) : product.sale,
    },
  }
}

/** What is not named stays as it was. */
export function readLimits(value: unknown, before: RoomLimits): RoomLimits {
  const said = fields(value)
  return {
    maxLength: number(said['max_length'], before.maxLength),
    slowModeMs: number(said['slow_mode_ms'], before.slowModeMs),
    mutedAll: flag(said['muted_all'], before.mutedAll),
    guestsMaySpeak: flag(said['guests_may_speak'], before.guestsMaySpeak),
  }
}

function flag(value: unknown, otherwise: boolean): boolean {
  return typeof value === 'boolean' ? value : otherwise
}

export function readPacing(value: unknown): Pacing {
  const said = fields(value)
  return {
    refreshMs: number(said['refresh_ms'], DEFAULT_PACING.refreshMs),
    maxDelayMs: number(said['max_delay_ms'], DEFAULT_PACING.maxDelayMs),
  }
}

export function readSanction(value: unknown): Sanction {
  const said = fields(value)
  return { kind: text(said['kind']), reason: text(said['reason']), untilMs: number(said['until_ms']) }
}

/** From an acknowledgement that is not ok, or from a refused connection. */
export function readRefusal(value: unknown, otherwise = 'refused'): Refusal {
  const said = fields(value)
  return {
    code: text(said['code']) || otherwise,
    message: text(said['message']) || text(said['fix']),
    retryAfterMs: number(said['retry_after_ms']),
  }
}

export const NO_LIMITS = DEFAULT_LIMITS
export const NO_PACING = DEFAULT_PACING
