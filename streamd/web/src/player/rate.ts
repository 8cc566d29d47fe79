/**
 * A rate from counts that arrive in lumps: bytes of parts, bytes of tags, decoded frames.
 *
 * Promise: total over time of the last `windowMs`, null until two observations are `leastMs` apart.
 */
export class RateWindow {
  private readonly samples: { atMs: number; total: number }[] = []

  constructor(
    private readonly windowMs: number,
    private readonly leastMs: number,
  ) {}

  /** `total` counts up since the beginning. */
  observe(total: number, nowMs: number): void {
    const newest = this.samples.at(-1)
    if (newest && total < newest.total) this.samples.length = 0 // the counter began anew
    this.samples.push({ atMs: nowMs, total })
    while (this.samples.length > 2 && nowMs - (this.samples[1]?.atMs ?? nowMs) >= this.windowMs) this.samples.shift()
  }

  /** Units per second, or null while there is too little to say. */
  get perSecond(): number | null {
    const oldest = this.samples[0]
    const newest = this.samples.at(-1)
    if (!oldest || !newest || newest.atMs - oldest.atMs < this.leastMs) return null
    return ((newest.total - oldest.total) * 1_000) / (newest.atMs - oldest.atMs)
  }
}
