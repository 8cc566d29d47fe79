/**
 * A tick's messages, spread over the tick.
 *
 * Promise: what came as one event flies one after the other over the time the server means them to last, in order; one's own
 * goes at once. Bounded: when the queue is full the oldest of others are let go (the list beside the picture has them).
 */
import type { Cancel, Timers } from '@/time/timers'

const MAX_WAITING = 120
/** Ticks closer together than this are flown as they come. */
const LEAST_TICK_MS = 80

interface Due<T> {
  readonly item: T
  readonly atMs: number
}

export class Smoothing<T> {
  private readonly waiting: Due<T>[] = []
  private cancel: Cancel | null = null

  constructor(
    private readonly timers: Timers,
    private readonly release: (item: T) => void,
  ) {}

  add(items: readonly T[], tickMs: number): void {
    const nowMs = this.timers.nowMs()
    const step = tickMs < LEAST_TICK_MS ? 0 : tickMs / items.length
    // A tick that arrives while the last is still flying goes on behind it, not in between.
    const fromMs = Math.min(nowMs + tickMs, Math.max(nowMs, this.waiting.at(-1)?.atMs ?? nowMs))
    items.forEach((item, index) => this.waiting.push({ item, atMs: fromMs + index * step }))
    if (this.waiting.length > MAX_WAITING) this.waiting.splice(0, this.waiting.length - MAX_WAITING)
    this.pump()
  }

  /** Forgets what waits and is unwanted. */
  drop(unwanted: (item: T) => boolean): void {
    const kept = this.waiting.filter((due) => !unwanted(due.item))
    this.waiting.splice(0, this.waiting.length, ...kept)
  }

  clear(): void {
    this.waiting.length = 0
    this.cancel?.()
    this.cancel = null
  }

  private pump(): void {
    this.cancel?.()
    this.cancel = null
    const nowMs = this.timers.nowMs()
    while (this.waiting[0] && this.waiting[0].atMs <= nowMs) {
      const due = this.waiting.shift()
      if (due) this.release(due.item)
    }
    const next = this.waiting[0]
    if (next) this.cancel = this.timers.after(next.atMs - nowMs, () => this.pump())
  }
}
