/** A list that comes page by page. A question asked later wins over one asked before, whichever is answered first. */
import { ref, shallowRef } from 'vue'

import type { Result } from '@/api/staff'
import { failed } from '@/studio/toasts'

import { a } from './words'

interface Page<T, C> {
  readonly items: readonly T[]
  readonly next_cursor: C | null
}

export function usePages<T, C extends string | number>(ask: (cursor: C | null) => Promise<Result<Page<T, C>>>) {
  const items = shallowRef<readonly T[]>([])
  const next = shallowRef<C | null>(null)
  const loaded = ref(false)
  let asked = 0

  async function load(cursor: C | null = null): Promise<void> {
    asked += 1
    const mine = asked
    const result = await ask(cursor)
    if (mine !== asked) return
    loaded.value = true
    if (!result.ok) {
      failed(a('load.failed'), result.failure)
      return
    }
    items.value = cursor === null ? result.body.items : [...items.value, ...result.body.items]
    next.value = result.body.next_cursor
  }

  const more = (): Promise<void> => (next.value === null ? Promise.resolve() : load(next.value))
  const replace = (fits: (item: T) => boolean, by: T): void => {
    items.value = items.value.map((item) => (fits(item) ? by : item))
  }
  const drop = (fits: (item: T) => boolean): void => {
    items.value = items.value.filter((item) => !fits(item))
  }
  return { items, next, loaded, load: () => load(), more, replace, drop }
}
