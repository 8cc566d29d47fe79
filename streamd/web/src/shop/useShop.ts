/**
 * What the room sells, kept true by the room's news while somebody looks.
 *
 * The list is asked for when the shop is first opened, and again when the room says that it is another one; with a pause that differs
 * from viewer to viewer, so that a full room does not ask in one breath.
 */
import { onBeforeUnmount, ref, shallowRef, type Ref, type ShallowRef } from 'vue'

import { serverClock } from '@/services'

import { shopCalls } from './calls'
import { isPartial, withNews } from './goods'
import type { ProductView } from './schema'

const SPREAD_MS = 1_500

export interface ShopNews {
  readonly name: string
  readonly payload: unknown
}

export interface Shop {
  /** Null while it is not known. */
  readonly goods: Readonly<ShallowRef<readonly ProductView[] | null>>
  readonly failed: Readonly<Ref<boolean>>
  load(): Promise<void>
  /** One product as it stands now, and in the list from now on; null when the server would not say. */
  look(id: number): Promise<ProductView | null>
  hear(news: ShopNews): void
}

export function useShop(room: string): Shop {
  const goods = shallowRef<readonly ProductView[] | null>(null)
  const failed = ref(false)
  const alarms = new Map<string, ReturnType<typeof setTimeout>>()

  async function load(): Promise<void> {
    const sentAtMs = Date.now()
    const result = await shopCalls.listing(room)
    failed.value = !result.ok
    if (!result.ok) return
    goods.value = result.body.items
    serverClock.observe({ sentAtMs, receivedAtMs: Date.now(), serverMs: result.body.server_time_ms, resolutionMs: 1 })
  }

  async function look(id: number): Promise<ProductView | null> {
    const result = await shopCalls.product(id)
    if (!result.ok) return null
    goods.value = goods.value?.map((one) => (one.id === id ? result.body : one)) ?? null
    return result.body
  }

  /** Once for however many reasons come before it is done. */
  function soon(name: string, run: () => Promise<unknown>): void {
    if (alarms.has(name)) return
    const wait = 200 + Math.random() * SPREAD_MS
    alarms.set(
      name,
      setTimeout(() => {
        alarms.delete(name)
        void run()
      }, wait),
    )
  }

  function hear({ name, payload }: ShopNews): void {
    // After a break nobody knows what was missed.
    if (name === 'shelf' || name === 'welcome') soon('list', load)
    if (name !== 'product' || !goods.value) return
    const partial = goods.value.find((one) => isPartial(one, payload))
    goods.value = goods.value.map((one) => withNews(one, payload))
    if (partial) soon(String(partial.id), () => look(partial.id))
  }

  onBeforeUnmount(() => alarms.forEach(clearTimeout))
  return { goods, failed, load, look, hear }
}
