/**
 * Time for what is shown in seconds: changes a few times a second while someone looks.
 */
import { onBeforeUnmount, ref, type Ref } from 'vue'

/** `read` is asked every `everyMs`; the value changes only when its answer does. */
export function useSampled<T>(read: () => T, everyMs: number): Ref<T> {
  const value = ref(read()) as Ref<T>
  const handle = setInterval(() => {
    if (!document.hidden) value.value = read()
  }, everyMs)
  onBeforeUnmount(() => clearInterval(handle))
  return value
}
