/**
 * The stage over the whole screen, where the browser allows it for elements (an iPhone does not).
 */
import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue'

export function useFullscreen(stage: Readonly<Ref<HTMLElement | null>>) {
  const fullscreen = ref(false)
  const canFullscreen = document.fullscreenEnabled === true
  const read = (): void => {
    fullscreen.value = document.fullscreenElement !== null
  }

  function toggleFullscreen(): void {
    if (!canFullscreen) return
    // Refused without a gesture: then nothing happens, and nothing should.
    if (document.fullscreenElement) void document.exitFullscreen().catch(() => {})
    else void stage.value?.requestFullscreen().catch(() => {})
  }

  onMounted(() => document.addEventListener('fullscreenchange', read))
  onBeforeUnmount(() => document.removeEventListener('fullscreenchange', read))
  return { fullscreen, canFullscreen, toggleFullscreen }
}
