/**
 * The room's orders, newest first, and what its staff do to them.
 *
 * Asked for again when somebody buys, at most once in a while however many do, and now and then besides: a payment is told to
 * nobody but its buyer. Money and goods are given back once nobody has taken that back in time.
 */
import { onBeforeUnmount, onMounted, shallowReactive, shallowRef, watch, type Ref } from 'vue'

import { change, read } from '@/api/staff'
import type { OrderDetail, OrderPage, OrderView } from '@/shop/schema'

import { failed, later, reasonOf } from './toasts'
import { w } from './words'

const ASK_EVERY_MS = 8_000
const ASK_AGAIN_MS = 1_500
const PAGE = 30

export type Ending = 'refund' | 'cancel'

/** The newest page over what is known: what it does not reach stays as it was. */
export function merged(known: readonly OrderView[], newest: readonly OrderView[]): readonly OrderView[] {
  const numbers = new Set(newest.map((one) => one.order))
  const last = newest.at(-1)
  return last ? [...newest, ...known.filter((one) => !numbers.has(one.order) && one.placed_at_ms <= last.placed_at_ms)] : []
}

export function useOrders(roomPath: string, bought: Ref<number>) {
  const orders = shallowRef<readonly OrderView[] | null>(null)
  const older = shallowRef<number | null>(null)
  const problem = shallowRef('')
  const toShip = shallowRef(false)
  const ending = shallowReactive(new Map<string, Ending>())
  let timer: ReturnType<typeof setTimeout> | undefined
  let dueMs = Infinity
  let isAsking = false
  let isGone = false

  function page(cursor: number | null): Promise<{ found: OrderPage | null; why: string }> {
    const query = `limit=${PAGE}${toShip.value ? '&status=paid' : ''}${cursor === null ? '' : `&cursor=${cursor}`}`
    return read<OrderPage>(`${roomPath}/orders?${query}`).then((result) =>
      result.ok ? { found: result.body, why: '' } : { found: null, why: reasonOf(result.failure) },
    )
  }

  async function refresh(): Promise<void> {
    dueMs = Infinity
    const wanted = toShip.value
    isAsking = true
    const { found, why } = document.hidden ? { found: null, why: '' } : await page(null)
    isAsking = false
    if (isGone) return
    problem.value = why
    if (wanted !== toShip.value) return askIn(0)
    if (found) {
      const known = orders.value ?? []
      if (known.length <= found.items.length) older.value = found.next_cursor
      orders.value = merged(known, found.items)
    }
    askIn(ASK_EVERY_MS)
  }

  /** The sooner of this and what was to come anyway. */
  function askIn(ms: number): void {
    const atMs = performance.now() + ms
    if (isAsking || atMs >= dueMs) return
    dueMs = atMs
    clearTimeout(timer)
    timer = setTimeout(() => void refresh(), ms)
  }

  async function more(): Promise<void> {
    const { found, why } = await page(older.value)
    problem.value = why
    if (!found || isGone) return
    const known = orders.value ?? []
    const numbers = new Set(known.map((one) => one.order))
    orders.value = [...known, ...found.items.filter((one) => !numbers.has(one.order))]
    older.value = found.next_cursor
  }

  function learn(order: OrderDetail): void {
    const { status, tracking } = order
    orders.value = (orders.value ?? []).map((one) => (one.order === order.order ? { ...one, status, tracking } : one))
  }

  /** With the place it goes to, for who may see that. */
  async function look(order: OrderView): Promise<OrderDetail | null> {
    const result = await read<OrderDetail>(`/api/v1/orders/${order.order}`)
    if (result.ok) return result.body
    failed(w('orders.load'), result.failure)
    return null
  }

  async function move(order: OrderView, step: 'ship' | Ending, body: object): Promise<boolean> {
    const result = await change<OrderDetail>('POST', `/api/v1/orders/${order.order}/${step}`, body)
    if (result.ok) learn(result.body)
    else failed(w(`orders.${step}.failed`, { buyer: order.buyer }), result.failure)
    return result.ok
  }

  function end(order: OrderView, how: Ending): void {
    ending.set(order.order, how)
    const stop = (): void => void ending.delete(order.order)
    later(w(`orders.${how}.done`, { title: order.title, buyer: order.buyer }), () => void move(order, how, {}).then(stop), stop)
  }

  watch(bought, () => askIn(ASK_AGAIN_MS))
  watch(toShip, () => {
    orders.value = null
    askIn(0)
  })
  onMounted(() => askIn(0))
  onBeforeUnmount(() => {
    isGone = true
    clearTimeout(timer)
  })
  const ship = (order: OrderView, tracking: string): Promise<boolean> => move(order, 'ship', { tracking })
  return { orders, older, problem, toShip, ending, more, look, ship, end }
}
