/**
 * Where a bullet may fly without touching another.
 *
 * Promise: pure arithmetic in pixels and milliseconds; no bullet that got a lane ever overlaps its predecessor, not at the
 * entry and not by catching up. A full screen answers null, and the caller decides whom that may happen to.
 */
export interface Flight {
  readonly widthPx: number
  readonly pxPerSecond: number
}

interface Lane {
  /** When the last bullet's tail, and the gap behind it, are inside. */
  clearAtMs: number
  /** When the last bullet has left. */
  emptyAtMs: number
}

/** Space kept between two bullets of one lane. */
const GAP_PX = 28

export class Lanes {
  private lanes: Lane[] = []
  private widthPx = 0

  /** The screen's size; lanes that remain keep their bullets. */
  resize(count: number, widthPx: number): void {
    this.widthPx = widthPx
    this.lanes.length = Math.min(this.lanes.length, count)
    while (this.lanes.length < count) this.lanes.push({ clearAtMs: -Infinity, emptyAtMs: -Infinity })
  }

  get count(): number {
    return this.lanes.length
  }

  /** The topmost free lane, now taken; null when there is none. */
  take(flight: Flight, nowMs: number): number | null {
    const index = this.lanes.findIndex((lane) => this.isFree(lane, flight, nowMs))
    if (index < 0) return null
    this.occupy(index, flight, nowMs)
    return index
  }

  /** The lane that will be free soonest, taken whether or not it is: for what must be shown. */
  takeAnyway(flight: Flight, nowMs: number): number {
    const free = this.take(flight, nowMs)
    if (free !== null) return free
    let best = 0
    this.lanes.forEach((lane, index) => {
      if (lane.clearAtMs < (this.lanes[best]?.clearAtMs ?? Infinity)) best = index
    })
    this.occupy(best, flight, nowMs)
    return best
  }

  /** How long a bullet is on the screen. */
  durationMs(flight: Flight): number {
    return ((this.widthPx + flight.widthPx) * 1_000) / flight.pxPerSecond
  }

  private isFree(lane: Lane, flight: Flight, nowMs: number): boolean {
    const headLeavesAtMs = nowMs + (this.widthPx * 1_000) / flight.pxPerSecond
    return lane.clearAtMs <= nowMs && lane.emptyAtMs <= headLeavesAtMs
  }

  private occupy(index: number, flight: Flight, nowMs: number): void {
    const lane = this.lanes[index]
    if (!lane) return
    lane.clearAtMs = Math.max(lane.clearAtMs, nowMs + ((flight.widthPx + GAP_PX) * 1_000) / flight.pxPerSecond)
    lane.emptyAtMs = Math.max(lane.emptyAtMs, nowMs + this.durationMs(flight))
  }
}

/** Lines that stand still: `top` counts from above, `bottom` from below. */
export class Places {
  private untilMs: number[] = []

  resize(count: number): void {
    this.untilMs.length = Math.min(this.untilMs.length, count)
    while (this.untilMs.length < count) this.untilMs.push(-Infinity)
  }

  take(nowMs: number, forMs: number): number | null {
    const index = this.untilMs.findIndex((untilMs) => untilMs <= nowMs)
    if (index < 0) return null
    this.untilMs[index] = nowMs + forMs
    return index
  }
}
