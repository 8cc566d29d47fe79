/**
 * What a show sells, as the studio holds it: the list in its order, and the card.
 *
 * Pure changes of one value to the next, used both for what the page expects and for what the server tells. Versions decide
 * what is news: a card or a list older than the one that is known changes nothing.
 */
import { number, record } from '@/api/http'
import type { CardView, ListingView, ProductView, SaleTerms, SkuView } from '@/api/schema'

export interface ShelfCard {
  readonly productId: number | null
  readonly version: number
  readonly atMs: number
  readonly by: string
  /** Asked for, and not confirmed yet. */
  readonly isGuess: boolean
}

export interface Shelf {
  readonly version: number
  readonly items: readonly ProductView[]
  readonly card: ShelfCard
}

export const EMPTY: Shelf = { version: -1, items: [], card: { productId: null, version: -1, atMs: 0, by: '', isGuess: false } }

export function shelfOf(listing: ListingView, exact: readonly ProductView[]): Shelf {
  const byId = new Map(exact.map((product) => [product.id, product]))
  const items = listing.items.map((product) => byId.get(product.id) ?? product)
  return { version: listing.version, items, card: cardOf(listing.card) }
}

export function cardOf(card: CardView): ShelfCard {
  return { productId: card.product?.id ?? null, version: card.version, atMs: card.at_ms, by: card.by, isGuess: false }
}

export function withCard(shelf: Shelf, card: ShelfCard): Shelf {
  return card.version < shelf.card.version ? shelf : { ...shelf, card }
}

/** Pinned (or, with null, taken away) as the page expects it. */
export function withCardGuess(shelf: Shelf, productId: number | null, atMs: number): Shelf {
  return { ...shelf, card: { ...shelf.card, productId, atMs, by: '', isGuess: true } }
}

export function withOrder(shelf: Shelf, ids: readonly number[]): Shelf {
  const byId = new Map(shelf.items.map((product) => [product.id, product]))
  const items = ids.flatMap((id) => byId.get(id) ?? [])
  const { card } = shelf
  const isGone = card.productId !== null && !ids.includes(card.productId)
  return { ...shelf, items, card: isGone ? { ...card, productId: null } : card }
}

export function moved(ids: readonly number[], id: number, to: number): number[] {
  const rest = ids.filter((other) => other !== id)
  rest.splice(Math.max(0, Math.min(rest.length, to)), 0, id)
  return rest
}

export function withProduct(shelf: Shelf, product: ProductView): Shelf {
  return { ...shelf, items: shelf.items.map((known) => (known.id === product.id ? product : known)) }
}

export function withChange(shelf: Shelf, id: number, change: (product: ProductView) => ProductView): Shelf {
  return { ...shelf, items: shelf.items.map((known) => (known.id === id ? change(known) : known)) }
}

/** A SKU's price or stock as the page expects it; the product's own follow. */
export function withSku(product: ProductView, skuId: number, change: Partial<SkuView>): ProductView {
  const skus = product.skus.map((sku) => (sku.id === skuId ? { ...sku, ...change } : sku))
  const offered = skus.filter((sku) => sku.is_offered)
  const prices = offered.map((sku) => (sku.sale && !sku.sale.starts_at_ms ? sku.price_minor : sku.base_price_minor))
  const stock = offered.reduce((sum, sku) => sum + sku.stock, 0)
  return { ...product, skus, stock, price_minor: prices.length > 0 ? Math.min(...prices) : product.price_minor }
}

/**
 * A `product` event. It names price, status and sale as they are; its stock goes in steps from a hundred on, and the studio's
 * exact figure stands where the two agree.
 */
export function withNews(shelf: Shelf, payload: unknown): Shelf {
  const said = record(payload)
  const id = number(said['id'])
  if (id === null) return shelf
  return withChange(shelf, id, (product) => {
    const stock = number(said['stock'])
    const isStep = stock !== null && stock >= 100 && product.stock >= stock && product.stock < stock + (stock < 1_000 ? 10 : 100)
    return {
      ...product,
      price_minor: number(said['price_minor']) ?? product.price_minor,
      original_price_minor: 'original_price_minor' in said ? number(said['original_price_minor']) : product.original_price_minor,
      status: typeof said['status'] === 'string' ? said['status'] : product.status,
      stock: stock === null || isStep || said['status'] === 'sold_out' ? product.stock : stock,
      sale: 'sale' in said ? ((said['sale'] as SaleTerms | null) ?? null) : product.sale,
    }
  })
}

export function matches(product: ProductView, words: string): boolean {
  const wanted = words.trim().toLocaleLowerCase().split(/\s+/).filter(Boolean)
  const text = [product.title, ...product.skus.map((sku) => sku.name)].join(' ').toLocaleLowerCase()
  return wanted.every((word) => text.includes(word))
}
