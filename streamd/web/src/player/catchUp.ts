/**
 * Keeping close to the newest frame, for FLV and LL-HLS alike.
 *
 * Promise: told how far behind its goal the picture is and how much is buffered, says how fast to play, or how far to jump. A
 * jump is for what a faster picture could not make up in good time (the cached group of pictures at the start, a tab that slept);
 * the speed does the rest so gently that voices keep their sound. Every stall moves the goal back a little, and long calm
 * moves it forth again. Why not the players' own: mpegts.js either jumps audibly or overshoots, hls.js does nothing while
 * less than a second is buffered, which with short parts is always, and forgets no stall.
 */
export interface Position {
  /** Behind the goal; negative when ahead of it. */
  readonly behindMs: number
  /** Buffered beyond the picture. */
  readonly bufferMs: number
  /** Since the first picture. */
  readonly playedMs: number
}

export interface Pace {
  readonly rate: number
  /** Go forward by so much at once; 0 to play on. */
  readonly skipMs: number
}

/** Within this much of the goal nothing is done. */
const SLACK_MS = 200
const GENTLE_RATE = 1.08
const BRISK_RATE = 1.25
const BRISK_BEYOND_MS = 1_000
const JUMP_BEYOND_MS = 3_500
/** Until then after the first picture, a jump is not noticed. */
const SETTLING_MS = 1_500
const SETTLING_JUMP_BEYOND_MS = 400
/** Neither hurry nor jump may leave less than this in the buffer. */
const KEEP_BUFFERED_MS = 250

const STALL_STEP_MS = 250
const MOST_PATIENCE_MS = 1_500
/** After this long without a stall, the goal moves forth again by `CALM_STEP_MS` every `CALM_EVERY_MS` of playing. */
const CALM_AFTER_MS = 60_000
const CALM_EVERY_MS = 10_000
const CALM_STEP_MS = 50

const STAY: Pace = { rate: 1, skipMs: 0 }

export class CatchUp {
  private patience = 0
  private calmFromMs = 0
  private hurrying = false

  /** What the stalls so far have added to the goal. */
  get patienceMs(): number {
    return this.patience
  }

  /** The picture stood still: ask for less. */
  stalled(playedMs: number): void {
    this.patience = Math.min(MOST_PATIENCE_MS, this.patience + STALL_STEP_MS)
    this.calmFromMs = playedMs + CALM_AFTER_MS
    this.hurrying = false
  }

  decide({ behindMs, bufferMs, playedMs }: Position): Pace {
    this.calmDown(playedMs)
    const excessMs = behindMs - this.patience
    const spareMs = bufferMs - KEEP_BUFFERED_MS
    const jumpBeyondMs = playedMs < SETTLING_MS ? SETTLING_JUMP_BEYOND_MS : JUMP_BEYOND_MS
    if (excessMs > jumpBeyondMs && spareMs > SLACK_MS) {
      this.hurrying = false
      return { rate: 1, skipMs: Math.min(excessMs, spareMs) }
    }
    // Begin beyond the slack, end at the goal: without the gap between the two the rate would flutter.
    if (excessMs > SLACK_MS) this.hurrying = true
    if (excessMs <= 0) this.hurrying = false
    if (!this.hurrying || spareMs <= 0) return STAY
    return { rate: excessMs > BRISK_BEYOND_MS ? BRISK_RATE : GENTLE_RATE, skipMs: 0 }
  }

  private calmDown(playedMs: number): void {
    if (this.patience === 0 || playedMs < this.calmFromMs) return
    this.patience = Math.max(0, this.patience - CALM_STEP_MS)
    this.calmFromMs = playedMs + CALM_EVERY_MS
  }
}
