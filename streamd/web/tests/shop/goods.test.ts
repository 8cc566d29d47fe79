import { describe, expect, it } from 'vitest'

import { bestOffer, firstSku, hasRange, isPartial, offerOf, phaseOf, pictureOf, withNews } from '@/shop/goods'
import type { ProductView, SaleTerms, SkuView } from '@/shop/schema'

const NOW = 1_000_000

function sku(given: Partial<SkuView> = {}): SkuView {
  const plain = { id: 1, name: '', price_minor: 9_900, original_price_minor: null, base_price_minor: 9_900 }
  return { ...plain, base_original_price_minor: null, stock: 50, buyer_limit: null, is_offered: true, sale: null, ...given }
}

function product(skus: readonly SkuView[], given: Partial<ProductView> = {}): ProductView {
  const words = { id: 7, title: 'Cup', description: '', image: null, currency: 'CNY' }
  return { ...words, price_minor: 9_900, original_price_minor: null, stock: 50, status: 'active', sale: null, skus, ...given }
}

function sale(given: Partial<SaleTerms> = {}): SaleTerms {
  return { id: 3, sku_id: 1, price_minor: 5_000, ends_at_ms: NOW + 60_000, limit: 2, left: 9, ...given }
}

describe('a flash sale', () => {
  it('is over at its end, by the clock and not by the news', () => {
    expect(phaseOf(sale(), NOW + 59_999).kind).toBe('running')
    expect(phaseOf(sale(), NOW + 60_000).kind).toBe('none')
    expect(phaseOf(null, NOW).kind).toBe('none')
  })

  it('is announced until it begins', () => {
    const announced = sale({ starts_at_ms: NOW + 5_000 })
    expect(phaseOf(announced, NOW)).toEqual({ kind: 'soon', priceMinor: 5_000, inMs: 5_000 })
    expect(phaseOf(announced, NOW + 5_000)).toEqual({ kind: 'running', priceMinor: 5_000, leftMs: 55_000 })
  })

  it('makes the price while it runs, strikes the old one through, and its limit counts', () => {
    const during = offerOf(sku({ sale: sale() }), 'active', NOW)
    expect([during.priceMinor, during.wasMinor, during.limit, during.most]).toEqual([5_000, 9_900, 2, 2])
    const after = offerOf(sku({ sale: sale() }), 'active', NOW + 60_000)
    expect([after.priceMinor, after.wasMinor, after.limit]).toEqual([9_900, null, null])
  })
})

describe('an offer', () => {
  it('strikes through only what was more', () => {
    expect(offerOf(sku({ base_original_price_minor: 12_900 }), 'active', NOW).wasMinor).toBe(12_900)
    expect(offerOf(sku({ base_original_price_minor: 9_900 }), 'active', NOW).wasMinor).toBeNull()
  })

  it('says how few are left, and that none are', () => {
    expect(offerOf(sku({ stock: 20 }), 'active', NOW).fewLeft).toBe(20)
    expect(offerOf(sku({ stock: 21 }), 'active', NOW).fewLeft).toBeNull()
    expect(offerOf(sku({ stock: 0 }), 'active', NOW)).toMatchObject({ soldOut: true, fewLeft: null, most: 1 })
    expect(offerOf(sku(), 'sold_out', NOW).soldOut).toBe(true)
  })

  it('lets nobody choose more than there are or may be', () => {
    expect(offerOf(sku({ stock: 3 }), 'active', NOW).most).toBe(3)
    expect(offerOf(sku({ buyer_limit: 2, sale: sale({ limit: 5 }) }), 'active', NOW).most).toBe(2)
    expect(offerOf(sku({ stock: 5_000 }), 'active', NOW).most).toBe(99)
  })

  it('of a product is the cheapest that can be had', () => {
    const cheap = sku({ id: 1, base_price_minor: 100, stock: 0 })
    const there = sku({ id: 2, base_price_minor: 300, stock: 4 })
    const dear = sku({ id: 3, base_price_minor: 900, stock: 4 })
    const found = bestOffer(product([cheap, dear, there]), NOW)
    expect([found?.priceMinor, found?.stock, found?.fewLeft]).toEqual([300, 8, 8])
    expect(hasRange(product([there, dear]), NOW)).toBe(true)
    expect(hasRange(product([there]), NOW)).toBe(false)
    expect(bestOffer(product([cheap]), NOW)).toMatchObject({ soldOut: true, priceMinor: 100 })
    expect(bestOffer(product([]), NOW)).toBeNull()
  })

  it('begins with a variant that is in stock', () => {
    expect(firstSku(product([sku({ id: 1, stock: 0 }), sku({ id: 2 })]))?.id).toBe(2)
    expect(firstSku(product([sku({ id: 1, stock: 0 })]))?.id).toBe(1)
    expect(firstSku(product([sku({ is_offered: false })]))).toBeNull()
  })
})

describe('news of a product', () => {
  it('changes price and stock of one with a single variant', () => {
    const changed = withNews(product([sku()]), { id: 7, price_minor: 8_800, stock: 3, status: 'active', sale: null })
    expect(offerOf(changed.skus[0] ?? sku(), changed.status, NOW)).toMatchObject({ priceMinor: 8_800, stock: 3 })
  })

  it('begins a sale and ends it, and the old price is known again', () => {
    const news = { id: 7, price_minor: 5_000, stock: 50, status: 'active', sale: { ...sale(), starts_at_ms: undefined } }
    const during = withNews(product([sku()]), news)
    expect(bestOffer(during, NOW)?.priceMinor).toBe(5_000)
    const after = withNews(during, { id: 7, price_minor: 9_900, stock: 41, status: 'active', sale: null })
    expect(bestOffer(after, NOW)).toMatchObject({ priceMinor: 9_900, stock: 41 })
  })

  it('leaves others alone, and says when it does not tell everything', () => {
    const two = product([sku({ id: 1 }), sku({ id: 2 })])
    expect(withNews(two, { id: 8, stock: 0 })).toBe(two)
    expect(withNews(two, 'nonsense')).toBe(two)
    expect(isPartial(two, { id: 7 })).toBe(true)
    expect(isPartial(product([sku()]), { id: 7 })).toBe(false)
    expect(withNews(two, { id: 7, status: 'sold_out' }).status).toBe('sold_out')
  })
})

it('pictures of other hosts are not loaded', () => {
  const path = '/pictures/0123456789abcdef0123456789abcdef.jpg'
  expect(pictureOf({ image: path })).toBe(path)
  expect(pictureOf({ image: 'https://elsewhere.example/a.jpg' })).toBe('')
  expect(pictureOf({ image: null })).toBe('')
})
