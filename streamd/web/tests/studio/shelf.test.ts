import { describe, expect, it } from 'vitest'

import type { ProductView, SkuView } from '@/api/schema'
import { minorOf, plainOf } from '@/studio/money'
import { EMPTY, matches, moved, withCard, withCardGuess, withNews, withOrder, withSku, type Shelf } from '@/studio/shelf'

const sku: SkuView = {
  id: 7,
  name: '',
  price_minor: 9_900,
  base_price_minor: 9_900,
  original_price_minor: null,
  base_original_price_minor: null,
  stock: 157,
  buyer_limit: null,
  is_offered: true,
  sale: null,
}

function product(id: number, change: Partial<ProductView> = {}): ProductView {
  return {
    id,
    title: `Cup ${id}`,
    description: '',
    owner: 'host',
    price_minor: 9_900,
    currency: 'CNY',
    original_price_minor: null,
    stock: 157,
    status: 'active',
    image: null,
    version: 1,
    sale: null,
    skus: [sku],
    ...change,
  }
}

const shelf: Shelf = { ...EMPTY, version: 3, items: [product(1), product(2), product(3)] }
const ids = (now: Shelf): number[] => now.items.map((one) => one.id)

describe('the list', () => {
  it('takes an order, and a card that is not in it goes', () => {
    const pinned = withCardGuess(shelf, 2, 5)
    expect(ids(withOrder(pinned, [3, 1]))).toEqual([3, 1])
    expect(withOrder(pinned, [3, 1]).card.productId).toBeNull()
    expect(withOrder(pinned, [2, 3, 1]).card.productId).toBe(2)
  })

  it('moves one within its ends', () => {
    expect(moved([1, 2, 3], 3, 0)).toEqual([3, 1, 2])
    expect(moved([1, 2, 3], 1, 9)).toEqual([2, 3, 1])
    expect(moved([1, 2, 3], 2, -4)).toEqual([2, 1, 3])
  })

  it('is searched by all words, in titles and variants', () => {
    const mug = product(1, { title: '青瓷 Mug', skus: [{ ...sku, name: 'Red, M' }] })
    expect(matches(mug, ' mug 青瓷')).toBe(true)
    expect(matches(mug, 'red')).toBe(true)
    expect(matches(mug, 'mug blue')).toBe(false)
  })
})

describe('the card', () => {
  it('of an older version changes nothing', () => {
    const card = { productId: 1, version: 8, atMs: 1, by: '', isGuess: false }
    const now = withCard(shelf, card)
    expect(withCard(now, { ...card, productId: 2, version: 7 }).card.productId).toBe(1)
    expect(withCard(now, { ...card, productId: 2, version: 9 }).card.productId).toBe(2)
  })

  it('that was asked for gives way to what the room is told', () => {
    const guessed = withCardGuess(withCard(shelf, { productId: 1, version: 8, atMs: 1, by: '', isGuess: false }), 3, 2)
    expect(guessed.card).toMatchObject({ productId: 3, isGuess: true })
    expect(withCard(guessed, { productId: 2, version: 9, atMs: 3, by: '', isGuess: false }).card.isGuess).toBe(false)
  })
})

describe('news of a product', () => {
  it('changes what it names', () => {
    const now = withNews(shelf, { id: 2, price_minor: 8_800, status: 'sold_out', stock: 0, sale: null })
    expect(now.items[1]).toMatchObject({ price_minor: 8_800, status: 'sold_out', stock: 157 })
    expect(now.items[0]).toEqual(shelf.items[0])
  })

  it('leaves the exact stock where its step agrees', () => {
    expect(withNews(shelf, { id: 1, stock: 150 }).items[0]?.stock).toBe(157)
    expect(withNews(shelf, { id: 1, stock: 140 }).items[0]?.stock).toBe(140)
    expect(withNews(shelf, { id: 1, stock: 99 }).items[0]?.stock).toBe(99)
  })

  it('of an unknown product, or without sense, is nothing', () => {
    expect(withNews(shelf, { id: 99, stock: 1 }).items).toEqual(shelf.items)
    expect(withNews(shelf, null)).toBe(shelf)
  })
})

describe('a SKU', () => {
  it('carries its product’s price and stock along', () => {
    const two = product(1, { skus: [sku, { ...sku, id: 8, base_price_minor: 12_000, stock: 3 }] })
    expect(withSku(two, 8, { base_price_minor: 500 })).toMatchObject({ price_minor: 500, stock: 160 })
    expect(withSku(two, 7, { stock: 0 })).toMatchObject({ price_minor: 9_900, stock: 3 })
  })
})

describe('prices as people type them', () => {
  it('are counted in the minor unit', () => {
    expect(minorOf('128', 'CNY')).toBe(12_800)
    expect(minorOf('¥ 99.9', 'CNY')).toBe(9_990)
    expect(minorOf('0,5', 'EUR')).toBe(50)
    expect(minorOf('1200', 'JPY')).toBe(1_200)
  })

  it('are refused rather than rounded', () => {
    for (const text of ['', 'free', '-1', '1.999', '1.2.3', '12e3']) expect(minorOf(text, 'CNY')).toBeNull()
    expect(minorOf('1.5', 'JPY')).toBeNull()
  })

  it('come back as they were', () => {
    expect(plainOf(12_850, 'CNY')).toBe('128.50')
    expect(plainOf(1_200, 'JPY')).toBe('1200')
  })
})
