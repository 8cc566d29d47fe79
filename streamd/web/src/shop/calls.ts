/**
 * The shop's part of the API, as buyers use it.
 *
 * Promise: never throws; what was not done comes back as a `Failure`. Who is signed in is renewed once where the token has run out.
 */
import { resultOf, type Result } from '@/api/staff'
import { sendJson, type Sending } from '@/api/send'
import { session } from '@/services'

import type { ListingView, OrderDetail, OrderPage, PaymentView, ProductView } from './schema'

export interface NewOrder {
  readonly room: string
  readonly sku_id: number
  readonly count: number
  readonly shipping: { readonly recipient: string; readonly phone: string; readonly address: string }
  readonly expected_unit_price_minor: number
}

export const shopCalls = {
  listing: (room: string) => call<ListingView>({ method: 'GET', path: `/api/v1/rooms/${encodeURIComponent(room)}/products` }),
  product: (id: number) => call<ProductView>({ method: 'GET', path: `/api/v1/products/${id}` }),
  place: (order: NewOrder, key: string) =>
    call<OrderDetail>({ method: 'POST', path: '/api/v1/orders', body: order, idempotencyKey: key }),
  order: (number: string) => call<OrderDetail>({ method: 'GET', path: pathOf(number) }),
  orders: (cursor: number | null) =>
    call<OrderPage>({ method: 'GET', path: `/api/v1/orders?limit=20${cursor === null ? '' : `&cursor=${cursor}`}` }),
  pay: (number: string) => call<PaymentView>({ method: 'POST', path: `${pathOf(number)}/payments`, body: {} }),
  cancel: (number: string) => call<OrderDetail>({ method: 'POST', path: `${pathOf(number)}/cancel`, body: {} }),
  arrived: (number: string) => call<OrderDetail>({ method: 'POST', path: `${pathOf(number)}/complete`, body: {} }),
}

export type ShopCalls = typeof shopCalls

function pathOf(number: string): string {
  return `/api/v1/orders/${encodeURIComponent(number)}`
}

async function call<T>(sending: Sending): Promise<Result<T>> {
  await session.fresh()
  let sent = await sendJson({ ...sending, accessToken: session.token() })
  if (sent.kind === 'problem' && sent.problem.status === 401 && session.token() && (await session.renew())) {
    sent = await sendJson({ ...sending, accessToken: session.token() })
  }
  return resultOf<T>(sent)
}
