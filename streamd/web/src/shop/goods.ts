/**
 * What a product costs, whether it can be had, and for how long: by the server's clock and the room's news.
 *
 * Pure. A flash sale begins and ends by the clock, also when the news of it is late.
 */
import { number, record } from '@/api/http'
import { sameSite } from '@/api/rooms'

import type { ProductView, SaleTerms, SkuView } from './schema'

/** Pieces in one order that the server takes at most, whatever the stock. */
const COUNT_LIMIT = 99
const FEW_LEFT = 20

export type SalePhase =
  | { readonly kind: 'none' }
  | { readonly kind: 'soon'; readonly priceMinor: number; readonly inMs: number }
  | { readonly kind: 'running'; readonly priceMinor: number; readonly leftMs: number }

export interface Offer {
  readonly priceMinor: number
  /** Struck through; null where nothing is. */
  readonly wasMinor: number | null
  readonly sale: SalePhase
  readonly stock: number
  readonly soldOut: boolean
  /** Few enough to say so; null otherwise. */
  readonly fewLeft: number | null
  /** Pieces in one order, at most. */
  readonly most: number
  /** Pieces for one buyer by the seller's rule; null: any number. */
  readonly limit: number | null
}

export function phaseOf(sale: SaleTerms | null, nowMs: number): SalePhase {
  if (!sale || nowMs >= sale.ends_at_ms) return { kind: 'none' }
  const startsAtMs = sale.starts_at_ms ?? 0
  if (nowMs < startsAtMs) return { kind: 'soon', priceMinor: sale.price_minor, inMs: startsAtMs - nowMs }
  return { kind: 'running', priceMinor: sale.price_minor, leftMs: sale.ends_at_ms - nowMs }
}

export function offerOf(sku: SkuView, status: string, nowMs: number): Offer {
  const sale = phaseOf(sku.sale, nowMs)
  const running = sale.kind === 'running'
  const priceMinor = running ? sale.priceMinor : sku.base_price_minor
  const struck = running ? (sku.original_price_minor ?? sku.base_price_minor) : sku.base_original_price_minor
  const soldOut = status !== 'active' || !sku.is_offered || sku.stock <= 0
  const limits = [sku.buyer_limit, running ? (sku.sale?.limit ?? null) : null].filter((limit) => limit !== null)
  const limit = limits.length > 0 ? Math.min(...limits) : null
  return {
    priceMinor,
    wasMinor: struck !== null && struck > priceMinor ? struck : null,
    sale,
    stock: sku.stock,
    soldOut,
    fewLeft: !soldOut && sku.stock <= FEW_LEFT ? sku.stock : null,
    most: Math.max(1, Math.min(sku.stock, limit ?? COUNT_LIMIT, COUNT_LIMIT)),
    limit,
  }
}

/** Of what can be bought for least: what a list shows of a product. */
export function bestOffer(product: ProductView, nowMs: number): Offer | null {
  const offers = product.skus.filter((sku) => sku.is_offered).map((sku) => offerOf(sku, product.status, nowMs))
  const there = offers.filter((offer) => !offer.soldOut)
  const [best] = (there.length > 0 ? there : offers).sort((a, b) => a.priceMinor - b.priceMinor)
  if (!best) return null
  const stock = there.reduce((sum, offer) => sum + offer.stock, 0)
  return { ...best, stock, fewLeft: !best.soldOut && stock <= FEW_LEFT ? stock : null }
}

/** Whether its SKUs cost different things now. */
export function hasRange(product: ProductView, nowMs: number): boolean {
  const offers = product.skus.filter((sku) => sku.is_offered).map((sku) => offerOf(sku, product.status, nowMs))
  return new Set(offers.filter((offer) => !offer.soldOut).map((offer) => offer.priceMinor)).size > 1
}

/** The SKU to begin with: the first one in stock. */
export function firstSku(product: ProductView): SkuView | null {
  const offered = product.skus.filter((sku) => sku.is_offered)
  return offered.find((sku) => sku.stock > 0) ?? offered[0] ?? null
}

/** After the room's `product` news. It tells of the product as a whole; only of a single SKU is all known by that. */
export function withNews(product: ProductView, news: unknown): ProductView {
  const said = record(news)
  if (number(said['id']) !== product.id) return product
  const status = typeof said['status'] === 'string' ? said['status'] : product.status
  const sale = 'sale' in said ? readSale(said['sale']) : product.sale
  const stock = number(said['stock']) ?? product.stock
  const priceMinor = number(said['price_minor']) ?? product.price_minor
  const alone = product.skus.length === 1
  const skus = product.skus.map((sku) => {
    if (!alone) return 'sale' in said ? { ...sku, sale: sale?.sku_id === sku.id ? sale : null } : sku
    const running = sale !== null && sale.starts_at_ms == null
    const base = running ? {} : { base_price_minor: priceMinor }
    return { ...sku, ...base, price_minor: priceMinor, stock, sale }
  })
  return { ...product, status, sale, stock, price_minor: priceMinor, skus }
}

/** Whether the news left something open that only the product itself tells. */
export function isPartial(product: ProductView, news: unknown): boolean {
  return number(record(news)['id']) === product.id && product.skus.length > 1
}

function readSale(value: unknown): SaleTerms | null {
  const said = record(value)
  const endsAtMs = number(said['ends_at_ms'])
  if (endsAtMs === null) return null
  return {
    id: number(said['id']) ?? 0,
    sku_id: number(said['sku_id']) ?? 0,
    price_minor: number(said['price_minor']) ?? 0,
    ends_at_ms: endsAtMs,
    limit: number(said['limit']),
    left: number(said['left']) ?? 0,
    starts_at_ms: number(said['starts_at_ms']),
  }
}

/** Pictures come from this server or not at all. */
export function pictureOf(product: { readonly image: string | null }): string {
  return sameSite(product.image ?? '')
}
