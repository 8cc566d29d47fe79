/**
 * Two taps of a finger, close in time and place.
 *
 * Not `dblclick`: an iPhone does not send it for fingers. Taps on something that has a use of its own do not count.
 */
const WITHIN_MS = 320
const WITHIN_PX = 48

export function doubleTap(run: (x: number, y: number) => void): (event: PointerEvent) => void {
  let last: { atMs: number; x: number; y: number } | null = null
  return (event) => {
    const busy = event.target instanceof Element && event.target.closest('button, a, input, article, dialog') !== null
    if (event.pointerType !== 'touch' || busy) return
    const { clientX: x, clientY: y, timeStamp: atMs } = event
    const second = last !== null && atMs - last.atMs < WITHIN_MS && Math.hypot(x - last.x, y - last.y) < WITHIN_PX
    // A third quick tap is another heart: it is second to this one.
    last = { atMs, x, y }
    if (second) run(x, y)
  }
}
