/**
 * Keeping FLV close to the newest frame.
 *
 * Promise: given how much is buffered ahead of the picture, says how fast to play, or to jump. A jump is for what a faster
 * picture could not make up in good time (the cached group of pictures at the start, a tab that slept); the speed does the rest
 * so gently that voices keep their sound. Every stall moves the goal back a little: a network that cannot hold 0.45 s is
 * not asked for it again and again. (LL-HLS has the same inside hls.js.)
 */
export interface Pace {
  readonly rate: number
  /** Place the picture this far behind the newest frame, or null to leave it. */
  readonly jumpToAheadMs: number | null
}

const FIRST_GOAL_MS = 450
const LAST_GOAL_MS = 2_000
const GOAL_STEP_MS = 250
/** Within this much of the goal nothing is done. */
const SLACK_MS = 250
const GENTLE_RATE = 1.08
const BRISK_RATE = 1.25
const BRISK_BEYOND_MS = 1_000
const JUMP_BEYOND_MS = 3_500
/** Until then after the first picture, a jump is not noticed. */
const SETTLING_MS = 1_500
const SETTLING_JUMP_BEYOND_MS = 400

export class CatchUp {
  private goalMs = FIRST_GOAL_MS
  private hurrying = false

  get targetMs(): number {
    return this.goalMs
  }

  /** The picture stood still: ask for less. */
  stalled(): void {
    this.goalMs = Math.min(LAST_GOAL_MS, this.goalMs + GOAL_STEP_MS)
  }

  /** `aheadMs`: buffered beyond the picture; `playedMs`: since the first picture. */
  decide(aheadMs: number, playedMs: number): Pace {
    const excessMs = aheadMs - this.goalMs
    const jumpBeyondMs = playedMs < SETTLING_MS ? SETTLING_JUMP_BEYOND_MS : JUMP_BEYOND_MS
    if (excessMs > jumpBeyondMs) {
      this.hurrying = false
      return { rate: 1, jumpToAheadMs: this.goalMs }
    }
    // Begin beyond the slack, end at the goal: without the gap between the two the rate would flutter.
    if (excessMs > SLACK_MS) this.hurrying = true
    if (excessMs <= 0) this.hurrying = false
    if (!this.hurrying) return { rate: 1, jumpToAheadMs: null }
    return { rate: excessMs > BRISK_BEYOND_MS ? BRISK_RATE : GENTLE_RATE, jumpToAheadMs: null }
  }
}
