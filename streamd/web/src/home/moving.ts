/** Which cover moves: one at most, the room whose card somebody rests on. */
import { ref } from 'vue'

export const playing = ref('')

interface Thrift {
  readonly connection?: { readonly saveData?: boolean }
}

/** The viewer has asked the browser to spare their data. */
export function savesData(from: Thrift = navigator as Thrift): boolean {
  return from.connection?.saveData === true
}
