/**
 * What the shop answers to buyers, by the names of the server's OpenAPI document.
 *
 * Only what the pages read. `tests/browser/test_api_types.py` holds each name and type against the document.
 */
import type { SaleTerms, SkuView } from '@/api/schema'

export type { SaleTerms, SkuView }

export interface ProductView {
  readonly id: number
  readonly title: string
  readonly description: string
  readonly price_minor: number
  readonly currency: string
  readonly original_price_minor: number | null
  readonly stock: number
  readonly status: string
  readonly image: string | null
  readonly sale: SaleTerms | null
  readonly skus: readonly SkuView[]
}

export interface ListingView {
  readonly version: number
  readonly items: readonly ProductView[]
  readonly server_time_ms: number
}

export interface ShippingView {
  readonly recipient: string
  readonly phone: string
  readonly address: string
}

export interface StepView {
  readonly status: string
  readonly at_ms: number
  readonly actor: string
  readonly reason: string
}

export interface OrderView {
  readonly order: string
  readonly room: string
  readonly buyer: string
  readonly product_id: number
  readonly title: string
  readonly sku_name: string
  readonly count: number
  readonly unit_price_minor: number
  readonly total_minor: number
  readonly currency: string
  readonly status: string
  readonly tracking: string
  readonly placed_at_ms: number
  readonly expires_at_ms: number
}

export interface OrderDetail {
  readonly order: string
  readonly room: string
  readonly product_id: number
  readonly title: string
  readonly sku_name: string
  readonly count: number
  readonly unit_price_minor: number
  readonly total_minor: number
  readonly currency: string
  readonly status: string
  readonly tracking: string
  readonly placed_at_ms: number
  readonly expires_at_ms: number
  readonly history: readonly StepView[]
  readonly shipping: ShippingView | null
}

export interface OrderPage {
  readonly items: readonly OrderView[]
  readonly next_cursor: number | null
}

export interface PaymentView {
  readonly reference: string
  readonly pay_url: string
  readonly status: string
}
