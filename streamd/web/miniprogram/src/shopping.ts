/**
 * Orders and payments, as the pages call them.
 */
import type { Failure, Result } from '@/api/calling'

import { caller } from './services'
import { filled, type Words } from './words'

export interface Order {
  readonly order: string
  readonly room: string
  readonly title: string
  readonly sku_name: string
  readonly count: number
  readonly total_minor: number
  readonly currency: string
  readonly status: 'created' | 'paying' | 'paid' | 'shipped' | 'completed' | 'cancelled' | 'refunding' | 'refunded'
  readonly tracking: string
  readonly expires_at_ms: number
}

export interface OrderPage {
  readonly items: readonly Order[]
  readonly next_cursor: number | null
}

export interface Payment {
  readonly gateway: string
  readonly pay_url: string
  readonly amount_minor: number
  readonly currency: string
  readonly status: 'open' | 'paid' | 'closed'
}

export interface Shipping {
  readonly recipient: string
  readonly phone: string
  readonly address: string
}

export interface Wish {
  readonly room: string
  readonly sku_id: number
  readonly count: number
  readonly expected_unit_price_minor: number
  readonly shipping?: Shipping
}

/** `key` stays the same for as long as the wish does: pressed twice, or sent again after a lost answer, it is one order. */
export function placeOrder(wish: Wish, key: string): Promise<Result<Order>> {
  return caller.change<Order>('POST', '/api/v1/orders', wish, key)
}

export function readOrder(order: string): Promise<Result<Order>> {
  return caller.read<Order>(`/api/v1/orders/${order}`)
}

export function readOrders(cursor: number | null): Promise<Result<OrderPage>> {
  return caller.read<OrderPage>(`/api/v1/orders${cursor === null ? '' : `?cursor=${cursor}`}`)
}

export function cancelOrder(order: string): Promise<Result<Order>> {
  return caller.change<Order>('POST', `/api/v1/orders/${order}/cancel`, {})
}

export function openPayment(order: string): Promise<Result<Payment>> {
  return caller.change<Payment>('POST', `/api/v1/orders/${order}/payments`, {})
}

/**
 * Presses a button of the sandbox gateway's page, which is a plain form: `pay`, `fail` or `late`. True when it got through; whether
 * the money came is the order's to say, as with a real gateway.
 */
export function pressSandbox(payUrl: string, action: 'pay' | 'fail' | 'late'): Promise<boolean> {
  return new Promise((resolve) => {
    wx.request({
      url: payUrl,
      method: 'POST',
      header: { 'Content-Type': 'application/x-www-form-urlencoded' },
      data: `action=${action}`,
      dataType: 'text',
      timeout: 8_000,
      success: ({ statusCode }) => resolve(statusCode < 400),
      fail: () => resolve(false),
    })
  })
}

export function isUnpaid(order: Order): boolean {
  return order.status === 'created' || order.status === 'paying'
}

export function statusWords(status: Order['status'], words: Words): string {
  if (status === 'paid') return words.paidStatus
  if (status === 'paying') return words.payingStatus
  return words[status]
}

const BY_CODE: Readonly<Record<string, keyof Words>> = {
  price_changed: 'priceChanged',
  stock_short: 'noStock',
  sold_out: 'noStock',
  sale_sold_out: 'noStock',
  orders_busy: 'busy',
  unreachable: 'lost',
}

export function failureWords(failure: Failure, words: Words): string {
  const key = failure.status === 429 ? 'busy' : BY_CODE[failure.code]
  return key ? words[key] : filled(words.failed, { why: failure.detail || failure.code })
}
