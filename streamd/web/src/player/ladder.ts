/**
 * Which way to play next.
 *
 * Promise: pure bookkeeping. The order follows the viewer's wish and the browser; a way that failed twice close together
 * gives way to the next; a way the browser cannot decode is not tried again; when all have failed the ladder begins anew,
 * so the player never stops trying what might work. Why FLV first: it shows the newest frame within a second, LL-HLS is
 * one part hold-back behind. On an iPhone only ManagedMediaSource exists, and the system's own HLS player is the steadier
 * (KonomiTV #260).
 */
import type { EngineFailure, ModePreference, PlayMode } from './model'

export interface Capabilities {
  /** MediaSource with H.264 and AAC. */
  readonly mediaSource: boolean
  /** Only ManagedMediaSource: an iPhone. */
  readonly managedOnly: boolean
  readonly nativeHls: boolean
  readonly webSocket: boolean
}

/** All ways worth trying, best first; empty when the browser can play nothing. */
export function waysToPlay(preference: ModePreference, browser: Capabilities): PlayMode[] {
  const flv: PlayMode[] = browser.webSocket ? ['flv', 'ws-flv'] : ['flv']
  // Native HLS last where there is a MediaSource: Chromium answers "maybe" for m3u8 and then stalls (hls.js #7827).
  const native: PlayMode[] = browser.nativeHls ? ['native-hls'] : []
  if (browser.managedOnly) return preference === 'flv' ? [...flv, ...native, 'hls'] : [...native, 'hls', ...flv]
  if (!browser.mediaSource) return native
  return preference === 'hls' ? ['hls', ...flv, ...native] : [...flv, 'hls', ...native]
}

/** Two failures of one way within this time send the player to the next. */
const STRIKE_MEMORY_MS = 60_000
const STRIKES_ALLOWED = 2
/** A way that played this long has earned another try. */
const PROVEN_MS = 15_000

interface Rung {
  readonly mode: PlayMode
  strikesAtMs: number[]
  out: boolean
}

export class Ladder {
  private readonly rungs: Rung[]
  private position = 0
  private rounds = 0

  constructor(modes: readonly PlayMode[]) {
    this.rungs = modes.map((mode) => ({ mode, strikesAtMs: [], out: false }))
  }

  /** The way to play now, or null when the browser can play nothing of this stream. */
  get current(): PlayMode | null {
    return this.rungs[this.position]?.mode ?? null
  }

  /** How often every way has failed; the caller waits longer each time. */
  get roundsFailed(): number {
    return this.rounds
  }

  /** Records that the current way failed after playing `playedMs`; moves on if it should. */
  fail(failure: EngineFailure, playedMs: number, nowMs: number): void {
    const rung = this.rungs[this.position]
    if (!rung) return
    if (failure.kind === 'codec') rung.out = true
    if (playedMs >= PROVEN_MS) {
      rung.strikesAtMs = []
      this.rounds = 0
    }
    rung.strikesAtMs = [...rung.strikesAtMs.filter((atMs) => nowMs - atMs < STRIKE_MEMORY_MS), nowMs]
    const neverPlayed = playedMs === 0
    if (rung.out || neverPlayed || rung.strikesAtMs.length >= STRIKES_ALLOWED) this.moveOn()
  }

  private moveOn(): void {
    const next = this.rungs.findIndex((rung, index) => index > this.position && !rung.out)
    if (next >= 0) {
      this.position = next
      return
    }
    this.rounds += 1
    for (const rung of this.rungs) rung.strikesAtMs = []
    const first = this.rungs.findIndex((rung) => !rung.out)
    this.position = first >= 0 ? first : this.rungs.length
  }
}
