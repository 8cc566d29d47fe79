/** The figures of the running (or last) show, as the server counts them: every five seconds, while somebody looks. */
import { onBeforeUnmount, onMounted, shallowRef } from 'vue'

import type { BoardView } from '@/api/schema'
import { read } from '@/api/staff'
import { language } from '@/i18n'
import { session } from '@/services'

import { failed, reasonOf } from './toasts'
import { w } from './words'

const ASK_EVERY_MS = 5_000

export function useBoard(path: string) {
  const board = shallowRef<BoardView | null>(null)
  const problem = shallowRef('')
  let timer: ReturnType<typeof setTimeout> | undefined
  let gone = false

  async function ask(): Promise<void> {
    const result = document.hidden ? null : await read<BoardView>(`${path}/board`)
    if (gone) return
    if (result?.ok) board.value = result.body
    // No show yet is no failure: the panel says it in its own words.
    problem.value = result && !result.ok && result.failure.status !== 404 ? reasonOf(result.failure) : ''
    timer = setTimeout(() => void ask(), ASK_EVERY_MS)
  }

  /** As a table for a spreadsheet; fetched, because an address cannot carry who asks. */
  async function download(): Promise<void> {
    await session.fresh()
    const answer = await fetch(`${path}/board.csv?lang=${language.value}`, { headers: { Authorization: `Bearer ${session.token()}` } }).catch(() => null)
    if (!answer?.ok) {
      const code = answer ? 'failed' : 'unreachable'
      failed(w('board.download'), { status: answer?.status ?? 0, code, detail: '', fix: '', retryAfterMs: 0, requestId: answer?.headers.get('X-Request-ID') ?? '' })
      return
    }
    const link = document.createElement('a')
    link.href = URL.createObjectURL(await answer.blob())
    link.download = `show-${board.value?.show.id ?? ''}.csv`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
  }

  onMounted(() => void ask())
  onBeforeUnmount(() => {
    gone = true
    clearTimeout(timer)
  })
  return { board, problem, download }
}
