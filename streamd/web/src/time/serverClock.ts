/**
 * The server's UTC clock, as far as its answers let us know it.
 *
 * Every answer bounds the offset: the server stamped it after the request left and before the answer came. The bounds of
 * many answers are intersected, so a `Date` header of whole seconds sharpens with each request. Among the offsets that
 * remain, the one nearest zero is taken: most devices keep good time, and guessing the middle would invent an error.
 * Source of the stamp: `server_time_ms` in a body (1 ms) or the HTTP `Date` header (1 000 ms).
 */
export interface ServerStamp {
  /** Device UTC when the request left. */
  readonly sentAtMs: number
  /** Device UTC when the answer's head arrived. */
  readonly receivedAtMs: number
  /** UTC as the server wrote it, rounded down to `resolutionMs`. */
  readonly serverMs: number
  readonly resolutionMs: number
}

export class ServerClock {
  private lowestMs = -Infinity
  private highestMs = Infinity

  constructor(private readonly deviceNowMs: () => number = Date.now) {}

  observe(stamp: ServerStamp): void {
    const low = stamp.serverMs - stamp.receivedAtMs
    const high = stamp.serverMs + stamp.resolutionMs - stamp.sentAtMs
    if (!(low <= high)) return // the device clock was set while the request was away
    if (low > this.highestMs || high < this.lowestMs) {
      this.lowestMs = low // one of the clocks was set: what was known before is void
      this.highestMs = high
      return
    }
    this.lowestMs = Math.max(this.lowestMs, low)
    this.highestMs = Math.min(this.highestMs, high)
  }

  /** Server UTC minus device UTC. */
  get offsetMs(): number {
    return Math.min(Math.max(0, this.lowestMs), this.highestMs)
  }

  /** How far `offsetMs` may be wrong; Infinity before the first answer. */
  get uncertaintyMs(): number {
    return Math.max(this.highestMs - this.offsetMs, this.offsetMs - this.lowestMs)
  }

  nowMs(): number {
    return this.deviceNowMs() + this.offsetMs
  }
}
