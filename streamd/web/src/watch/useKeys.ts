/**
 * Single keys of the watch page. They are left alone while someone types, in a dialog, and with a modifier held.
 */
import { onBeforeUnmount, onMounted } from 'vue'

export function useKeys(keys: Readonly<Record<string, () => void>>): void {
  function onKey(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return
    const target = event.target instanceof HTMLElement ? event.target : null
    if (target?.closest('input, textarea, select, dialog, [contenteditable]')) return
    // A focused button takes the space bar for itself.
    if (event.key === ' ' && target?.closest('button, a')) return
    const run = keys[event.key.toLowerCase()]
    if (!run) return
    event.preventDefault()
    run()
  }
  onMounted(() => addEventListener('keydown', onKey))
  onBeforeUnmount(() => removeEventListener('keydown', onKey))
}
