/**
 * A tick's messages, spread over the tick.
 *
 * Promise: what came as one event flies one after the other over the time the server means them to last, in order, and behind
 * the tick before if that is still on its way; never further behind than one tick. Pure: it says when, the animation
 * itself waits, and no timer of ours wakes the page between two ticks.
 */
export class Smoothing {
  private freeAtMs = -Infinity

  /** When each of `count` messages of a tick of `tickMs` sets off, in milliseconds from now. */
  delays(count: number, tickMs: number, nowMs: number): number[] {
    const fromMs = Math.min(nowMs + tickMs, Math.max(nowMs, this.freeAtMs))
    const stepMs = count > 0 ? tickMs / count : 0
    this.freeAtMs = fromMs + tickMs
    return Array.from({ length: count }, (_, index) => Math.round(fromMs - nowMs + index * stepMs))
  }
}
