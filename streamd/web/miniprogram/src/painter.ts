/**
 * One setData for many changes.
 *
 * Every setData crosses from the script's thread to the picture's and lays the page out again, so it is what a busy room costs.
 * Promise: at most one in `everyMs`, however often it is touched; the first after a rest at once, the last never lost; what to
 * paint is asked only when it is painted. While paused nothing is, and what changed meanwhile when it goes on.
 */
import type { Cancel, Timers } from '@/time/timers'

export type Patch = Readonly<Record<string, unknown>>

export interface PainterParts {
  /** What is different from what was painted last; null for nothing. */
  readonly render: () => Patch | null
  readonly setData: (patch: Patch) => void
  readonly timers: Timers
  readonly everyMs?: number
}

const EVERY_MS = 200

export class Painter {
  private dirty = false
  private paused = false
  private paintedAtMs = -Infinity
  private cancel: Cancel | null = null

  constructor(private readonly parts: PainterParts) {}

  touch(): void {
    this.dirty = true
    if (this.paused || this.cancel) return
    const { timers, everyMs = EVERY_MS } = this.parts
    const waitMs = this.paintedAtMs + everyMs - timers.nowMs()
    if (waitMs <= 0) this.paint()
    else this.cancel = timers.after(waitMs, () => this.paint())
  }

  pause(): void {
    this.paused = true
    this.cancel?.()
    this.cancel = null
  }

  resume(): void {
    this.paused = false
    if (this.dirty) this.touch()
  }

  private paint(): void {
    this.cancel = null
    this.dirty = false
    const patch = this.parts.render()
    if (!patch) return
    this.paintedAtMs = this.parts.timers.nowMs()
    this.parts.setData(patch)
  }
}
