/**
 * Where an order stands, as its buyer sees it, and what they can do next.
 *
 * Pure. The server's states are finer and coarser than the buyer's: an unpaid order is over when its time is, also before the server has
 * said so; a payment that the gateway closed leaves the order waiting, and shows only in that the next one has another reference.
 */
import type { OrderView, StepView } from '@/shop/schema'

export type Stage =
  | 'unpaid'
  /** The time is over, the server's word is still to come: no more paying. */
  | 'closing'
  | 'failed'
  | 'paid'
  | 'shipped'
  | 'completed'
  | 'expired'
  | 'cancelled'
  | 'refunding'
  | 'refunded'

type Standing = Pick<OrderView, 'status' | 'expires_at_ms'> & { readonly history?: readonly StepView[] }

const LATER: ReadonlySet<string> = new Set(['paid', 'shipped', 'completed', 'refunding', 'refunded'])

/** `paymentFailed`: the gateway has closed a payment since. */
export function stageOf(order: Standing, nowMs: number, paymentFailed = false): Stage {
  if (LATER.has(order.status)) return order.status as Stage
  if (order.status === 'cancelled') return wasExpiry(order) ? 'expired' : 'cancelled'
  if (nowMs >= order.expires_at_ms) return 'closing'
  return paymentFailed ? 'failed' : 'unpaid'
}

function wasExpiry({ history }: Standing): boolean {
  return history?.filter((step) => step.status === 'cancelled').pop()?.actor === 'expiry'
}

/** Whether something is still to happen by itself: the page goes on asking. */
export function isOpen(stage: Stage): boolean {
  return stage === 'unpaid' || stage === 'failed' || stage === 'closing'
}

/** Between two looks at an order: often while somebody pays, less often the longer that takes. */
export function lookAgainMs(looks: number): number {
  return Math.min(6_000, 1_500 + looks * 150)
}

/** A gateway's page is a web page; an address of another kind is not opened. */
export function payAddress(url: string): string {
  return /^https?:\/\//i.test(url) ? url : ''
}
