/**
 * The stream key, as long as this tab lives: the server shows it once, and keeps only what proves it.
 *
 * In sessionStorage, so that a reload does not cost a key; a page of another tab and the next day know nothing of it.
 */
import { shallowRef } from 'vue'

import type { StreamKeyView } from '@/api/schema'
import { change, type Result } from '@/api/staff'

const name = (room: string): string => `streamd.key.${room}`

export function useStreamKey(room: string) {
  const key = shallowRef(recall(room))

  function keep(value: string): void {
    key.value = value.trim()
    try {
      sessionStorage.setItem(name(room), key.value)
    } catch {
      // forbidden: known until the page is left
    }
  }

  async function rotate(): Promise<Result<StreamKeyView>> {
    const made = await change<StreamKeyView>('POST', `/api/v1/rooms/${encodeURIComponent(room)}/stream-key`)
    if (made.ok) keep(made.body.stream_key)
    return made
  }

  return { key, keep, rotate }
}

function recall(room: string): string {
  try {
    return sessionStorage.getItem(name(room)) ?? ''
  } catch {
    return ''
  }
}
