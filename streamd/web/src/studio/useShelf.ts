/**
 * The show's list and card, changed from here and by others at once.
 */
import { computed, onBeforeUnmount, onMounted, shallowRef } from 'vue'

import { number, record } from '@/api/http'
import type { CardView, ListingView, ProductPage, ProductView, SaleView } from '@/api/schema'
import { change, read, upload, type Result } from '@/api/staff'
import { serverClock } from '@/services'

import { Optimistic } from './optimistic'
import {
  cardOf,
  EMPTY,
  shelfOf,
  withCard,
  withCardGuess,
  withChange,
  withNews,
  withOrder,
  withProduct,
  withSku,
  type Shelf,
} from './shelf'
import { done, failed, later, told } from './toasts'
import { w } from './words'

/** What other assistants and buyers do in a burst is asked for once. */
const RELOAD_AFTER_MS = 600

export interface NewSale {
  readonly sku_id: number
  readonly price_minor: number
  readonly duration_s: number
  readonly countdown_s: number | null
  readonly quantity: number
  readonly buyer_limit: number | null
}

export function useShelf(room: string) {
  const path = `/api/v1/rooms/${encodeURIComponent(room)}`
  const shelf = shallowRef<Shelf>(EMPTY)
  const loaded = shallowRef(false)
  const stopping = shallowRef<ReadonlySet<number>>(new Set())
  const state = new Optimistic<Shelf>(EMPTY, (view) => (shelf.value = view))
  let due: ReturnType<typeof setTimeout> | undefined

  // ---- what the server says

  async function load(): Promise<void> {
    const [listing, exact] = await Promise.all([
      read<ListingView>(`${path}/products`),
      read<ProductPage>(`/api/v1/products?room=${encodeURIComponent(room)}&limit=200`),
    ])
    if (!listing.ok) {
      failed(w('products.load'), listing.failure)
      return
    }
    loaded.value = true
    state.learn((known) => {
      const found = shelfOf(listing.body, exact.ok ? exact.body.items : [])
      return known.version > found.version ? known : withCard(found, known.card)
    })
  }

  function reloadSoon(): void {
    due ??= setTimeout(() => {
      due = undefined
      void load()
    }, RELOAD_AFTER_MS)
  }

  function onNews(name: string, payload: unknown): void {
    const said = record(payload)
    if (name === 'card') {
      const product = said['product'] ? record(said['product']) : null
      const card = {
        productId: product ? number(product['id']) : null,
        version: number(said['version']) ?? 0,
        atMs: number(said['at_ms']) ?? 0,
        by: '',
        isGuess: false,
      }
      state.learn((known) => withCard(known, card))
    }
    if (name === 'product') state.learn((known) => withNews(known, payload))
    if (name === 'product' || name === 'shelf' || (name === 'welcome' && said['recovered'] !== true)) reloadSoon()
  }

  // ---- the card

  async function pin(productId: number | null): Promise<void> {
    const product = shelf.value.items.find((one) => one.id === productId)
    if (productId !== null && !product) return
    const atMs = serverClock.nowMs()
    const result = await state.attempt<CardView>({
      guess: (now) => withCardGuess(now, productId, atMs),
      send: () =>
        productId === null ? change<CardView>('DELETE', `${path}/card`) : change<CardView>('PUT', `${path}/card`, { product_id: productId }),
      confirm: (known, answer) => withCard(known, cardOf(answer)),
    })
    if (!result.ok) failed(w('pin.failed', { title: product?.title ?? '' }), result.failure)
  }

  // ---- the list

  let lastPut: Promise<Result<ListingView>> | null = null

  /** One after the other, each from the version that the one before made: one's own haste is no conflict with others. */
  function sendOrder(ids: readonly number[]): Promise<Result<ListingView>> {
    const before = lastPut
    const mine = (async () => {
      const earlier = await before
      if (earlier && !earlier.ok) return earlier // this order was made from one that never came to be
      const version = earlier?.body.version ?? shelf.value.version
      return change<ListingView>('PUT', `${path}/products`, { products: ids, ...(version >= 0 ? { version } : {}) })
    })()
    lastPut = mine
    void mine.then(() => {
      if (lastPut === mine) lastPut = null
    })
    return mine
  }

  async function putOrder(ids: readonly number[], what: string): Promise<boolean> {
    const result = await state.attempt<ListingView>({
      guess: (now) => withOrder(now, ids),
      send: () => sendOrder(ids),
      confirm: (known, answer) => ({ ...withOrder(known, ids), version: answer.version, card: cardOf(answer.card) }),
    })
    if (result.ok) {
      if (ids.some((id) => !shelf.value.items.some((product) => product.id === id))) await load()
      return true
    }
    failed(what, result.failure)
    await load()
    return false
  }

  const order = (ids: readonly number[]): Promise<boolean> => putOrder(ids, w('order.failed'))

  async function remove(product: ProductView): Promise<void> {
    const before = shelf.value.items.map((one) => one.id)
    const wasShown = shelf.value.card.productId === product.id
    const isDone = await putOrder(before.filter((id) => id !== product.id), w('remove.failed', { title: product.title }))
    if (!isDone) return
    done(w('remove.done', { title: product.title }), () => {
      const now = shelf.value.items.map((one) => one.id)
      now.splice(before.indexOf(product.id), 0, product.id)
      void putOrder(now, w('undo.failed')).then((isBack) => (isBack && wasShown ? pin(product.id) : undefined))
    })
  }

  const add = (productId: number): Promise<boolean> => {
    const now = shelf.value.items.map((one) => one.id)
    return now.includes(productId) ? Promise.resolve(true) : putOrder([...now, productId], w('add.failed'))
  }

  // ---- a product

  function changeProduct(product: ProductView, body: object, guess: (now: ProductView) => ProductView, what: string) {
    return state
      .attempt<ProductView>({
        guess: (now) => withChange(now, product.id, guess),
        send: () => change<ProductView>('PATCH', `/api/v1/products/${product.id}`, body),
        confirm: (known, answer) => withProduct(known, answer),
      })
      .then((result) => {
        if (!result.ok) {
          failed(what, result.failure)
          reloadSoon()
        }
        return result.ok
      })
  }

  function setPrice(product: ProductView, skuId: number, priceMinor: number): Promise<boolean> {
    const body = { version: product.version, skus: [{ id: skuId, price_minor: priceMinor }] }
    return changeProduct(product, body, (now) => withSku(now, skuId, { base_price_minor: priceMinor }), w('price.failed', { title: product.title }))
  }

  /** As a number, good only while it still is what was seen: what is sold meanwhile is not overwritten. */
  function setStock(product: ProductView, skuId: number, to: number): Promise<boolean> {
    const seen = product.skus.find((sku) => sku.id === skuId)?.stock ?? 0
    const body = { skus: [{ id: skuId, stock: { to, seen } }] }
    return changeProduct(product, body, (now) => withSku(now, skuId, { stock: to }), w('stock.failed', { title: product.title }))
  }

  async function setSoldOut(product: ProductView, isSoldOut: boolean): Promise<void> {
    const status = isSoldOut ? 'sold_out' : 'active'
    const isDone = await changeProduct(product, { status }, (now) => ({ ...now, status }), w('soldOut.failed', { title: product.title }))
    if (isDone && isSoldOut) done(w('soldOut.done', { title: product.title }), () => void setSoldOut(product, false))
  }

  /** From the sheet: everything at once; false leaves the sheet open. */
  async function save(product: ProductView | null, body: object, picture: File | null): Promise<boolean> {
    const saved = product
      ? await change<ProductView>('PATCH', `/api/v1/products/${product.id}`, body)
      : await change<ProductView>('POST', '/api/v1/products', { ...body, room })
    const made = told(w('save.failed'), saved)
    if (!made) return false
    let final = made
    if (picture) final = told(w('picture.failed'), await upload<ProductView>('PUT', `/api/v1/products/${made.id}/image`, picture)) ?? made
    if (product) state.learn((known) => withProduct(known, final))
    else await add(final.id)
    return true
  }

  async function catalogue(words: string): Promise<readonly ProductView[]> {
    const query = `room=${encodeURIComponent(room)}&limit=50&q=${encodeURIComponent(words)}`
    return told(w('products.load'), await read<ProductPage>(`/api/v1/products?${query}`))?.items ?? []
  }

  // ---- flash sales

  async function announceSale(product: ProductView, plan: NewSale): Promise<boolean> {
    const made = told(w('sale.failed', { title: product.title }), await change<SaleView>('POST', `${path}/sales`, plan))
    if (made) void load()
    return made !== null
  }

  /** Waits for as long as it can be taken back: a sale that was stopped cannot be gone on with. */
  function stopSale(product: ProductView): void {
    const sale = product.sale
    if (!sale || stopping.value.has(sale.id)) return
    const isAnnounced = (sale.starts_at_ms ?? 0) > serverClock.nowMs()
    stopping.value = new Set([...stopping.value, sale.id])
    const forget = (): void => {
      stopping.value = new Set([...stopping.value].filter((id) => id !== sale.id))
    }
    const run = async (): Promise<void> => {
      const verb = isAnnounced ? 'cancel' : 'end'
      told(w('sale.stop.failed', { title: product.title }), await change('POST', `${path}/sales/${sale.id}/${verb}`))
      await load()
      forget()
    }
    later(w('sale.stopping', { title: product.title }), () => void run(), forget)
  }

  onMounted(() => void load())
  onBeforeUnmount(() => clearTimeout(due))

  const shown = computed(() => shelf.value.items.find((product) => product.id === shelf.value.card.productId) ?? null)
  return {
    shelf,
    loaded,
    shown,
    stopping,
    onNews,
    pin,
    order,
    remove,
    add,
    setPrice,
    setStock,
    setSoldOut,
    save,
    catalogue,
    announceSale,
    stopSale,
  }
}

export type ShelfDesk = ReturnType<typeof useShelf>
