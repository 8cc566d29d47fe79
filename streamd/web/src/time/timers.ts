/**
 * Time as the cores receive it: injected, so that tests turn the clock by hand.
 *
 * Promise: `nowMs` never goes back and has no relation to UTC; `after` runs once unless cancelled.
 */
export type Cancel = () => void

export interface Timers {
  nowMs(): number
  after(delayMs: number, run: () => void): Cancel
}
