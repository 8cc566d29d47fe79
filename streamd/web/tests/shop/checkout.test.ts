import { describe, expect, it } from 'vitest'

import type { Failure, Result } from '@/api/staff'
import type { NewOrder } from '@/shop/calls'
import { Checkout, newKey, type CheckoutState } from '@/shop/checkout'
import type { OrderDetail, ProductView } from '@/shop/schema'

const ORDER: NewOrder = {
  room: 'demo',
  sku_id: 4,
  count: 1,
  shipping: { recipient: 'Li', phone: '138', address: 'Road 1' },
  expected_unit_price_minor: 9_900,
}
const PLACED: Result<OrderDetail> = { ok: true, body: { order: 'O1' } as OrderDetail }

function refused(status: number, code = ''): Result<OrderDetail> {
  const failure: Failure = { status, code, detail: 'words of the server', fix: '', retryAfterMs: 0, requestId: '' }
  return { ok: false, failure }
}

class Counter {
  readonly keys: string[] = []
  readonly orders: NewOrder[] = []
  readonly states: CheckoutState[] = []
  looks = 0
  private made = 0
  readonly checkout: Checkout

  constructor(private readonly answers: Result<OrderDetail>[], priceMinor = 8_800) {
    this.checkout = new Checkout({
      place: (order, key) => {
        this.keys.push(key)
        this.orders.push(order)
        return Promise.resolve(this.answers.shift() ?? PLACED)
      },
      look: () => {
        this.looks += 1
        return Promise.resolve({ skus: [{ id: 4, price_minor: priceMinor }] } as unknown as ProductView)
      },
      newKey: () => `key-${++this.made}`,
      onChange: (state) => this.states.push(state),
    })
  }

  get last(): CheckoutState | undefined {
    return this.states.at(-1)
  }
}

describe('a tap on buy', () => {
  it('places one order', async () => {
    const counter = new Counter([PLACED])
    await counter.checkout.buy(ORDER)
    expect(counter.states.map((state) => state.step)).toEqual(['placing', 'placed'])
  })

  it('is one however often it is tapped meanwhile', async () => {
    const counter = new Counter([PLACED])
    await Promise.all([counter.checkout.buy(ORDER), counter.checkout.buy(ORDER)])
    await counter.checkout.buy(ORDER)
    expect(counter.keys).toEqual(['key-1'])
  })

  it('whose answer got lost is asked again under the same key', async () => {
    const counter = new Counter([refused(0), refused(503), PLACED])
    await counter.checkout.buy(ORDER)
    expect(counter.last).toMatchObject({ step: 'refused', code: 'lost', again: true })
    await counter.checkout.buy(ORDER)
    expect(counter.last).toMatchObject({ step: 'refused', code: 'busy', again: true })
    await counter.checkout.buy(ORDER)
    expect(counter.keys).toEqual(['key-1', 'key-1', 'key-1'])
  })

  it('with something else in it has another key', async () => {
    const counter = new Counter([refused(0), PLACED])
    await counter.checkout.buy(ORDER)
    await counter.checkout.buy({ ...ORDER, count: 2 })
    expect(counter.keys).toEqual(['key-1', 'key-2'])
  })

  it('at a price that has changed shows the new one and buys nothing until it is accepted', async () => {
    const counter = new Counter([refused(409, 'price_changed'), PLACED])
    await counter.checkout.buy(ORDER)
    expect(counter.last).toEqual({ step: 'price', priceMinor: 8_800 })
    expect(counter.looks).toBe(1)
    await counter.checkout.buy({ ...ORDER, expected_unit_price_minor: 8_800 })
    expect(counter.last?.step).toBe('placed')
    expect(counter.keys).toEqual(['key-1', 'key-2'])
  })

  it('of what is gone is refused for good, with the product as it stands now', async () => {
    for (const code of ['sold_out', 'buyer_limit', 'sale_sold_out', 'not_on_sale']) {
      const counter = new Counter([refused(409, code)])
      await counter.checkout.buy(ORDER)
      expect(counter.last).toMatchObject({ step: 'refused', code, again: false })
      expect(counter.looks).toBe(1)
    }
  })

  it('of somebody who is no longer signed in asks for that', async () => {
    const counter = new Counter([refused(401), PLACED])
    await counter.checkout.buy(ORDER)
    expect(counter.last).toEqual({ step: 'signIn' })
  })

  it('forgets a refusal when something else is chosen, but never an order', async () => {
    const counter = new Counter([refused(409, 'sold_out'), PLACED])
    await counter.checkout.buy(ORDER)
    counter.checkout.reset()
    expect(counter.last).toEqual({ step: 'ready' })
    await counter.checkout.buy(ORDER)
    counter.checkout.reset()
    expect(counter.last?.step).toBe('placed')
  })
})

it('keys are long and never the same', () => {
  expect(newKey()).toMatch(/^[0-9a-f]{32}$/)
  expect(newKey()).not.toBe(newKey())
})
