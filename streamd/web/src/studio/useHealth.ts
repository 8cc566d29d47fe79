/**
 * How the stream that reaches the server is doing, asked once a second, with the last two minutes as lines.
 *
 * An answer that does not come leaves the last one standing and says so; a gap in the lines is a gap in what is known.
 */
import { onBeforeUnmount, onMounted, shallowRef } from 'vue'

import { list, readJson } from '@/api/http'
import type { StreamView } from '@/api/schema'
import { withNext, type Series } from '@/charts/series'
import { api } from '@/services'

const ASK_EVERY_MS = 1_000
export const KEPT = 120

export interface Lines {
  readonly bitrate: Series
  readonly fps: Series
  readonly drift: Series
  readonly repairs: Series
}

const EMPTY: Lines = { bitrate: [], fps: [], drift: [], repairs: [] }
export type Presence = 'asking' | 'known' | 'unknown-room' | 'unreachable'

export function useHealth(room: string) {
  const stream = shallowRef<StreamView | null>(null)
  const presence = shallowRef<Presence>('asking')
  const lines = shallowRef<Lines>(EMPTY)
  let repairedBefore: number | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let gone = false

  async function ask(): Promise<void> {
    const answer = await readJson(`/api/v1/rooms/${encodeURIComponent(room)}/stream`, api)
    if (gone) return
    if (answer.kind === 'body') take(answer.body as StreamView)
    else if (answer.kind === 'problem' && answer.problem.status === 404) presence.value = 'unknown-room'
    else {
      presence.value = 'unreachable'
      lines.value = next(null)
    }
    timer = setTimeout(() => void ask(), document.hidden ? 5 * ASK_EVERY_MS : ASK_EVERY_MS)
  }

  function take(said: StreamView): void {
    stream.value = { ...said, warnings: list(said.warnings) as StreamView['warnings'] }
    presence.value = 'known'
    lines.value = next(said.state === 'on_air' ? said : null)
  }

  function next(said: StreamView | null): Lines {
    const before = lines.value
    const repaired = said ? Object.values(said.repairs).reduce((sum, count) => sum + count, 0) : null
    const more = repaired !== null && repairedBefore !== null ? Math.max(0, repaired - repairedBefore) : null
    repairedBefore = repaired
    return {
      bitrate: withNext(before.bitrate, said?.bitrate_bps ?? null, KEPT),
      fps: withNext(before.fps, said?.video?.fps ?? null, KEPT),
      drift: withNext(before.drift, said?.drift_ms ?? null, KEPT),
      repairs: withNext(before.repairs, more, KEPT),
    }
  }

  onMounted(() => void ask())
  onBeforeUnmount(() => {
    gone = true
    clearTimeout(timer)
  })
  return { stream, presence, lines }
}
