/**
 * What `<live-player>` says, turned into what the viewer sees and what is done about it.
 *
 * In: the codes of its statechange event. Out: one of six states, and "begin again" after a growing pause when the player gave up
 * or could not connect. Source: WeChat's table of state codes for live-player. Pure; timers and chance are given.
 */
import { backoffMs } from '@/time/backoff'
import type { Cancel, Timers } from '@/time/timers'

export type LiveState =
  /** Nothing to see yet. */
  | 'connecting'
  | 'playing'
  /** The picture stands; it goes on by itself. */
  | 'stalled'
  /** The network is too slow for the picture: sound alone would do. */
  | 'weak'
  /** No connection; it is tried again. */
  | 'lost'
  /** This phone cannot decode it here: the other player may. */
  | 'undecodable'

export interface LiveParts {
  readonly timers: Timers
  readonly random: () => number
  readonly onState: (state: LiveState) => void
  /** Stop and play. */
  readonly onReplay: () => void
}

const REPLAY = { firstMs: 1_000, capMs: 15_000, jitter: 0.3 }
/** So many stutters within `WEAK_MS` are a weak network; a single one is where WeChat itself calls it weak. */
const WEAK_COUNT = 3
/** For so long after the last stutter sound alone is offered: an offer that vanishes under the finger is none. */
const WEAK_MS = 30_000
/** A stutter that was only reported stays in words for so long: nothing is ever said about its end. */
const NOTE_MS = 3_000
/** A live-player that the account's category does not allow shows nothing and says nothing. */
const MUTE_MS = 10_000
const MAX_UNDECODED = 5

const PLAYING: ReadonlySet<number> = new Set([2003, 2004])
const OPENING: ReadonlySet<number> = new Set([2001, 2002, 2008])
/** Loading; disconnected and connecting by itself: the picture stands until it is said to play. */
const STANDS: ReadonlySet<number> = new Set([2007, 2103])
/** Unstable; stutter: the picture goes on. */
const STUTTERS: ReadonlySet<number> = new Set([2104, 2105])
const UNDECODED: ReadonlySet<number> = new Set([2101, 2102])
/** Gave up after its own tries; DNS; connect; handshake; read or write; the stream ended. */
const GONE: ReadonlySet<number> = new Set([-2301, 3001, 3002, 3003, 3005, 2006])

export class LiveWatch {
  private state: LiveState = 'connecting'
  private attempts = 0
  private undecoded = 0
  private stutters: number[] = []
  private stands = false
  private networkIsWeak = false
  private weakUntilMs = -Infinity
  private noteUntilMs = -Infinity
  private cancelReplay: Cancel | null = null
  private cancelCalm: Cancel | null = null
  private cancelMute: Cancel | null = null

  constructor(private readonly parts: LiveParts) {}

  /** A player was given an address to play. */
  begin(kind: 'live' | 'video'): void {
    this.stop()
    this.attempts = this.undecoded = 0
    this.stands = false
    this.become('connecting')
    if (kind === 'live') this.cancelMute = this.parts.timers.after(MUTE_MS, () => this.become('undecodable'))
  }

  take(code: number): void {
    this.cancelMute?.()
    if (PLAYING.has(code)) this.onPlaying()
    else if (OPENING.has(code) && this.state === 'lost') this.become('connecting')
    else if (STANDS.has(code)) this.onStutter(true)
    else if (STUTTERS.has(code)) this.onStutter(this.stands)
    else if (UNDECODED.has(code)) this.onUndecoded()
    else if (GONE.has(code)) this.onGone()
  }

  /** What WeChat makes of the network. */
  hear(networkIsWeak: boolean): void {
    this.networkIsWeak = networkIsWeak
  }

  /** The viewer asks. */
  retry(): void {
    this.attempts = 0
    this.replay()
  }

  /** The network or the viewer is back: what was waiting to be tried again is tried now. */
  nudge(): void {
    if (this.state === 'lost') this.retry()
  }

  stop(): void {
    for (const cancel of [this.cancelReplay, this.cancelCalm, this.cancelMute]) cancel?.()
    this.cancelReplay = this.cancelCalm = this.cancelMute = null
  }

  private onPlaying(): void {
    this.attempts = 0
    this.undecoded = 0
    this.stands = false
    this.noteUntilMs = -Infinity
    this.stop()
    this.settle()
  }

  private onStutter(stands: boolean): void {
    const nowMs = this.parts.timers.nowMs()
    this.stands = stands
    this.stutters = [...this.stutters.filter((atMs) => atMs > nowMs - WEAK_MS), nowMs]
    this.noteUntilMs = nowMs + NOTE_MS
    if (this.stutters.length >= (this.networkIsWeak ? 1 : WEAK_COUNT)) this.weakUntilMs = nowMs + WEAK_MS
    this.settle()
  }

  /** How it is by now, while there is a connection; and looks again when that is going to change. */
  private settle(): void {
    const { timers } = this.parts
    const nowMs = timers.nowMs()
    const untilMs = Math.max(this.weakUntilMs, this.noteUntilMs)
    if (this.weakUntilMs > nowMs) this.become('weak')
    else this.become(this.stands || this.noteUntilMs > nowMs ? 'stalled' : 'playing')
    this.cancelCalm?.()
    this.cancelCalm = untilMs > nowMs ? timers.after(untilMs - nowMs, () => this.settle()) : null
  }

  private onUndecoded(): void {
    this.undecoded += 1
    if (this.undecoded < MAX_UNDECODED) return
    this.stop()
    this.become('undecodable')
  }

  private onGone(): void {
    this.become('lost')
    if (this.cancelReplay) return
    this.stop()
    const delayMs = backoffMs(this.attempts, REPLAY, this.parts.random)
    this.attempts += 1
    this.cancelReplay = this.parts.timers.after(delayMs, () => this.replay())
  }

  private replay(): void {
    this.stop()
    this.become('connecting')
    this.parts.onReplay()
  }

  private become(state: LiveState): void {
    if (state === this.state) return
    this.state = state
    this.parts.onState(state)
  }
}

export interface Picture {
  readonly origin: string
  readonly room: string
  /** For rooms that are only for those invited; empty otherwise. */
  readonly token: string
  readonly kind: 'live' | 'video'
  readonly soundOnly: boolean
}

/** Where the picture comes from: HTTP-FLV for live-player, which plays nothing slower; HLS for video. */
export function pictureAddress({ origin, room, token, kind, soundOnly }: Picture): string {
  const path = kind === 'live' ? `/live/${room}.flv` : soundOnly ? `/live/${room}/audio/media.m3u8` : `/live/${room}/index.m3u8`
  const query = [...(token ? [`token=${encodeURIComponent(token)}`] : []), ...(kind === 'live' && soundOnly ? ['video=0'] : [])]
  return `${origin}${path}${query.length > 0 ? `?${query.join('&')}` : ''}`
}
