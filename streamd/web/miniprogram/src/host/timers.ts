/**
 * Timers where there is no `performance`: a clock that was set back stands still until it is past where it was.
 */
import type { Timers } from '@/time/timers'

let latestMs = 0

export const wxTimers: Timers = {
  nowMs: () => (latestMs = Math.max(latestMs, Date.now())),
  after(delayMs, run) {
    const handle = setTimeout(run, delayMs)
    return () => clearTimeout(handle)
  },
}
