/**
 * One tap on "buy", from the tap to an order or the reason why there is none.
 *
 * Invariants: a tap has one Idempotency-Key, and asking again after an answer that was lost uses the same; whatever changes what is
 * asked (the price, the count, the parcel's way) is another tap with another key. Nothing is ever bought at a price that was not shown.
 * Free of Vue; sending and keys are given.
 */
import type { Failure, Result } from '@/api/staff'

import type { NewOrder } from './calls'
import type { OrderDetail, ProductView } from './schema'

export type CheckoutState =
  | { readonly step: 'ready' }
  | { readonly step: 'placing' }
  /** It costs something else now; nothing has been ordered. */
  | { readonly step: 'price'; readonly priceMinor: number }
  /** `again`: asking once more may help, and is safe. */
  | { readonly step: 'refused'; readonly code: string; readonly words: string; readonly again: boolean }
  | { readonly step: 'signIn' }
  | { readonly step: 'placed'; readonly order: OrderDetail }

export interface CheckoutParts {
  readonly place: (order: NewOrder, key: string) => Promise<Result<OrderDetail>>
  /** How the product stands now; null when it could not be asked. */
  readonly look: () => Promise<ProductView | null>
  readonly newKey: () => string
  readonly onChange: (state: CheckoutState) => void
}

export class Checkout {
  private state: CheckoutState = { step: 'ready' }
  private said = ''
  private key = ''

  constructor(private readonly parts: CheckoutParts) {}

  /** Buys, unless a purchase is on its way: a double tap is one. */
  async buy(order: NewOrder): Promise<void> {
    if (this.state.step === 'placing' || this.state.step === 'placed') return
    const said = JSON.stringify(order)
    if (said !== this.said || this.key === '') this.key = this.parts.newKey()
    this.said = said
    this.enter({ step: 'placing' })
    const result = await this.parts.place(order, this.key)
    if (result.ok) {
      this.enter({ step: 'placed', order: result.body })
      return
    }
    this.enter(await this.refusal(order, result.failure))
  }

  /** What was chosen has changed: an old refusal does not speak of it. */
  reset(): void {
    if (this.state.step !== 'placing' && this.state.step !== 'placed') this.enter({ step: 'ready' })
  }

  private async refusal(order: NewOrder, failure: Failure): Promise<CheckoutState> {
    const { status, code, detail } = failure
    // Not known whether it was taken: the same key again finds out, and never buys twice.
    if (status === 0 || status >= 500) return { step: 'refused', code: status === 0 ? 'lost' : 'busy', words: detail, again: true }
    this.key = ''
    if (status === 401) return { step: 'signIn' }
    if (status === 429) return { step: 'refused', code: 'busy', words: detail, again: true }
    const fresh = await this.parts.look()
    const sku = fresh?.skus.find((one) => one.id === order.sku_id)
    if (code === 'price_changed' && sku) return { step: 'price', priceMinor: sku.price_minor }
    return { step: 'refused', code, words: detail, again: code === 'price_changed' }
  }

  private enter(state: CheckoutState): void {
    this.state = state
    this.parts.onChange(state)
  }
}

/** crypto.randomUUID wants a secure origin; a page on plain http in the house has none. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
