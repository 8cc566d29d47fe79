/**
 * Is the picture moving?
 *
 * Promise: fed with the playback position several times a second, counts stalls (a picture that stood still for at least
 * `STALL_FROM_MS` though it should move) and says how long the present one lasts. A position that stands still because
 * nobody expects it to move is not a stall.
 */
const STALL_FROM_MS = 300

export class Progress {
  private position = -1
  private movedAtMs = 0
  private stalledSinceMs: number | null = null
  private countValue = 0
  private totalMs = 0

  /** `expected`: the picture should be moving (not paused, not hidden, has begun). */
  observe(position: number, expected: boolean, nowMs: number): void {
    if (position !== this.position || !expected) {
      this.position = position
      this.endStall(nowMs)
      this.movedAtMs = nowMs
      return
    }
    if (this.stalledSinceMs === null && nowMs - this.movedAtMs >= STALL_FROM_MS) {
      this.stalledSinceMs = this.movedAtMs
      this.countValue += 1
    }
  }

  private endStall(nowMs: number): void {
    if (this.stalledSinceMs === null) return
    this.totalMs += nowMs - this.stalledSinceMs
    this.stalledSinceMs = null
  }

  get stalls(): number {
    return this.countValue
  }

  stalledForMs(nowMs: number): number {
    return this.stalledSinceMs === null ? 0 : nowMs - this.stalledSinceMs
  }

  stallTotalMs(nowMs: number): number {
    return this.totalMs + this.stalledForMs(nowMs)
  }
}
