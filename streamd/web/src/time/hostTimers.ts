/** The browser's timers. Works in any host that has `setTimeout` and `performance`. */
import type { Timers } from './timers'

export const hostTimers: Timers = {
  nowMs: () => performance.now(),
  after(delayMs, run) {
    const handle = setTimeout(run, delayMs)
    return () => clearTimeout(handle)
  },
}
