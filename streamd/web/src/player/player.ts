/**
 * The live player: one room, one video element, whatever happens in between.
 *
 * Promise: as long as it runs, it either shows the stream or knows why not and when it looks again. It tries the ways to
 * play in the ladder's order, asks the server what is going on whenever one fails, and comes back by itself after a lost
 * network, a restarted server or a returning host. The first way is started before the server has said that the room is
 * live: the common case costs no extra round trip.
 *
 * Not here: how a way plays (engines/), what the waiting means (waiting.ts), the words on the screen (the page), chat (room/).
 */
import type { Presence } from '@/api/stream'
import { backoffMs } from '@/time/backoff'
import type { Cancel, Timers } from '@/time/timers'

import { CatchUp } from './catchUp'
import type { Engine, EngineLoader } from './engine'
import { Ladder } from './ladder'
import { Meter } from './meter'
import type { EngineFailure, PlayerFigures, PlayerPhase, PlayerSnapshot, PlayMode } from './model'
import * as patience from './patience'
import { startWithSound, type SoundWish } from './sound'
import { askAgainMs, asWaiting, verdict, type WaitingPhase } from './waiting'

export interface PlayerParts {
  readonly video: HTMLVideoElement
  readonly address: (mode: PlayMode) => string
  readonly loadEngine: EngineLoader
  readonly askServer: () => Promise<Presence>
  readonly timers: Timers
  readonly random: () => number
  readonly serverNowMs: () => number
  readonly isHidden: () => boolean
  readonly onChange: (snapshot: PlayerSnapshot) => void
  /** The element is about to lose its last frame: the moment to keep a copy. */
  readonly onFrameLost: () => void
}

export class LivePlayer {
  private ladder: Ladder
  private engine: Engine | null = null
  /** The engine still loads; false after it failed, when only its last frame is of use. */
  private engineAlive = false
  /** Distinguishes the present engine's late promises from its predecessors'. */
  private attempt = 0
  private attemptAtMs = 0
  private pictureAtMs: number | null = null
  private pendingFailure: EngineFailure | null = null
  private failuresInRow = 0
  /** The server was out of reach since the picture last moved. */
  private serverWasAway = false
  private asking = false
  private askedOfStall = 0
  private askCount = 0
  private starts = 0
  private pausedAtMs: number | null = null
  private tickedAtMs = 0
  private running = false
  private cancelTick: Cancel | null = null
  private cancelPlan: Cancel | null = null
  private readonly meter: Meter
  private readonly listeners = new AbortController()

  private phase: PlayerPhase = 'loading'
  private retryAtMs: number | null = null
  private lastFailure: PlayerSnapshot['lastFailure'] = null
  private told = ''

  constructor(
    private readonly parts: PlayerParts,
    ways: readonly PlayMode[],
    private sound: SoundWish,
  ) {
    this.ladder = new Ladder(ways)
    this.meter = new Meter(parts.video)
  }

  start(): void {
    this.running = true
    this.tickedAtMs = this.parts.timers.nowMs()
    const on = { signal: this.listeners.signal }
    this.parts.video.addEventListener('loadeddata', () => this.onPicture(), on)
    this.parts.video.addEventListener('volumechange', () => this.tell(), on)
    this.parts.video.addEventListener('pause', () => this.onPausedFromOutside(), on)
    this.startEngine()
    if (this.phase === 'unsupported') return
    void this.ask()
    this.scheduleTick()
  }

  stop(): void {
    this.running = false
    this.listeners.abort()
    this.cancelTick?.()
    this.cancelPlanned()
    this.letGo()
  }

  // ---- what the viewer asks for

  pause(): void {
    if (this.phase !== 'playing' && this.phase !== 'buffering') return
    this.pausedAtMs = this.parts.timers.nowMs()
    this.parts.video.pause()
    this.enter('paused')
  }

  /** Plays on from the newest picture; also the tap that a browser wanted. */
  resume(): void {
    if (this.phase !== 'paused' && this.phase !== 'blocked') return
    this.pausedAtMs = null
    if (!this.engineAlive) {
      this.startEngine()
      return
    }
    this.engine?.toLive()
    void this.play()
  }

  setSound(wish: SoundWish): void {
    this.sound = wish
    this.parts.video.muted = wish.muted
    this.parts.video.volume = wish.volume
  }

  /** The viewer chose another way to play. */
  setWays(ways: readonly PlayMode[]): void {
    this.ladder = new Ladder(ways)
    this.failuresInRow = 0
    if (this.running && this.pausedAtMs === null && !asWaiting(this.phase)) this.startEngine()
  }

  /** Something suggests that now is a good moment: "try again", the network is back, the room says live. */
  nudge(): void {
    if (!asWaiting(this.phase)) return
    this.askCount = 0
    void this.ask()
  }

  /** The page is looked at again. */
  shown(): void {
    if (this.pausedAtMs !== null || !this.running) return
    this.nudge()
    if (!this.engineAlive) return
    this.engine?.toLive()
    if (this.parts.video.paused) void this.play()
  }

  // ---- starting a way to play

  private startEngine(): void {
    const mode = this.ladder.current
    this.letGo()
    this.cancelPlanned()
    this.pendingFailure = null
    this.starts += 1
    this.attemptAtMs = this.parts.timers.nowMs()
    this.enter(mode === null ? 'unsupported' : 'loading')
    if (mode !== null) void this.loadAndStart(mode, this.attempt)
  }

  private async loadAndStart(mode: PlayMode, attempt: number): Promise<void> {
    try {
      const make = await this.parts.loadEngine(mode)
      if (attempt !== this.attempt) return
      this.engine = make({
        video: this.parts.video,
        address: this.parts.address(mode),
        serverNowMs: this.parts.serverNowMs,
        catchUp: new CatchUp(),
        onFailure: (failure) => {
          if (attempt === this.attempt) this.onFailure(failure)
        },
      })
      this.engineAlive = true
      this.attemptAtMs = this.parts.timers.nowMs()
      this.engine.start()
      await this.play()
    } catch (error) {
      if (attempt === this.attempt) this.onFailure({ kind: 'chunk', detail: String(error) })
    }
  }

  private async play(): Promise<void> {
    const attempt = this.attempt
    const started = await startWithSound(this.parts.video, this.sound)
    if (attempt !== this.attempt || started === 'superseded') return
    if (started === 'blocked') this.enter('blocked')
    else if (this.phase === 'blocked' || this.phase === 'paused') this.enter('buffering')
  }

  /** Ends the present attempt: its engine stops loading, its late promises are ignored. */
  private letGo(): void {
    this.attempt += 1
    if (this.pictureAtMs !== null) this.parts.onFrameLost()
    this.engine?.stop()
    this.engine = null
    this.engineAlive = false
    this.pictureAtMs = null
  }

  private onPicture(): void {
    const nowMs = this.parts.timers.nowMs()
    this.pictureAtMs ??= nowMs
    this.meter.picture(nowMs)
    this.serverWasAway = false
    if (this.phase === 'blocked' || this.pausedAtMs !== null) this.tell()
    else this.enter('playing')
  }

  /** A media key or the system paused it. A browser also pauses what nobody sees; `shown` undoes that. */
  private onPausedFromOutside(): void {
    const { video } = this.parts
    const byHand = video.paused && !video.ended && video.error === null // a decoder that fails pauses as well
    if (byHand && this.engineAlive && !this.parts.isHidden()) this.pause()
  }

  // ---- watching it

  private scheduleTick(): void {
    this.cancelTick = this.parts.timers.after(patience.TICK_MS, () => {
      this.tick(this.parts.timers.nowMs())
      if (this.running) this.scheduleTick()
    })
  }

  private tick(nowMs: number): void {
    const { video, isHidden } = this.parts
    const slept = nowMs - this.tickedAtMs > patience.SLEPT_MS
    this.tickedAtMs = nowMs
    if (slept && this.engineAlive && this.pausedAtMs === null) this.engine?.toLive()
    const expected = this.pictureAtMs !== null && !video.paused && !isHidden() && this.pausedAtMs === null
    const playedMs = this.pictureAtMs === null ? 0 : nowMs - this.pictureAtMs
    const stallBegan = this.meter.observe(expected && !slept, nowMs)
    if (stallBegan) this.engine?.stalled(playedMs)
    if (this.meter.movedAtMs === nowMs) this.onMoving(nowMs)
    if (this.pausedAtMs !== null) this.judgePause(this.pausedAtMs, nowMs)
    else if (this.pictureAtMs === null) this.judgeStart(nowMs)
    else if (expected) this.judgeStall(nowMs)
    if (expected && this.engineAlive && this.pictureAtMs !== null) this.engine?.tick(playedMs)
  }

  private onMoving(nowMs: number): void {
    if (this.pictureAtMs !== null && nowMs - this.pictureAtMs > patience.STEADY_MS) this.failuresInRow = 0
    if (!this.engineAlive || this.phase === 'playing' || this.phase === 'blocked') return
    this.cancelPlanned() // it came back by itself while we waited for the server's word
    this.pendingFailure = null
    this.enter('playing')
  }

  private judgePause(pausedAtMs: number, nowMs: number): void {
    if (this.engineAlive && nowMs - pausedAtMs > patience.PAUSE_KEEPS_ENGINE_MS) this.letGo()
  }

  private judgeStart(nowMs: number): void {
    if (!this.engineAlive || this.phase !== 'loading' || this.parts.isHidden()) return
    if (nowMs - this.attemptAtMs > patience.NO_PICTURE_MS) this.onFailure({ kind: 'no-picture', detail: `${patience.NO_PICTURE_MS} ms` })
  }

  private judgeStall(nowMs: number): void {
    const stalledMs = this.meter.stalledForMs(nowMs)
    if (stalledMs > patience.SHOW_STALL_MS && this.phase === 'playing') this.enter('buffering')
    const judged = this.pendingFailure !== null || asWaiting(this.phase) !== null || this.cancelPlan !== null
    if (!this.engineAlive || judged) return
    if (stalledMs > patience.STALL_LIMIT_MS) this.onFailure({ kind: 'stall', detail: `${Math.round(stalledMs)} ms` })
    else if (stalledMs > patience.STALL_ASK_MS && this.askedOfStall !== this.meter.stalls) {
      this.askedOfStall = this.meter.stalls
      void this.ask()
    }
  }

  // ---- when it fails

  private onFailure(failure: EngineFailure): void {
    this.lastFailure = { ...failure, mode: this.ladder.current }
    this.pendingFailure = failure
    // After a stall the engine still loads, and may be the first to notice that the host is back.
    if (failure.kind !== 'stall') this.engineAlive = false
    if (this.phase === 'playing') this.enter('buffering')
    else this.tell()
    if (this.pausedAtMs === null) void this.ask() // paused: resuming starts anew
  }

  /** Asks the server what is going on, once at a time, and acts on it. */
  private async ask(): Promise<void> {
    if (this.asking) return
    this.asking = true
    this.cancelPlanned()
    const presence = await this.parts.askServer()
    this.asking = false
    if (!this.running || this.pausedAtMs !== null) return
    const failure = this.pendingFailure // also one that came while we asked: the same answer judges it
    this.pendingFailure = null
    this.settle(presence, failure)
  }

  private settle(presence: Presence, failure: EngineFailure | null): void {
    const nowMs = this.parts.timers.nowMs()
    if (presence.kind === 'unreachable') this.serverWasAway = true
    // The picture knows better than a status page, and an engine at work will tell for itself whether it gets through.
    const atWork = failure === null && this.engineAlive && !asWaiting(this.phase)
    const hopeful = this.pictureAtMs === null ? presence.kind === 'unreachable' : this.meter.stalledForMs(nowMs) === 0
    if (atWork && hopeful) return
    const found = verdict({
      presence,
      failure,
      sincePictureMs: nowMs - this.meter.movedAtMs,
      serverWasAway: this.serverWasAway,
      present: asWaiting(this.phase),
    })
    if (found !== 'play') this.wait(found)
    else if (asWaiting(this.phase)) this.playOn()
    else if (failure) this.playAfter(failure, nowMs)
  }

  /** What we waited for is there. */
  private playOn(): void {
    if (this.engineAlive) this.plan(patience.RESUME_GRACE_MS, () => this.startEngine())
    else this.startEngine()
  }

  private playAfter(failure: EngineFailure, nowMs: number): void {
    this.failuresInRow += 1
    const tooEarly = failure.kind === 'not-found' && this.failuresInRow <= patience.NOT_FOUND_PATIENCE
    const playedMs = this.pictureAtMs === null ? 0 : nowMs - this.pictureAtMs
    if (!tooEarly) this.ladder.fail(failure, playedMs, nowMs)
    // The first try after a break comes at once; only repetition is slowed down.
    const repeats = this.failuresInRow - 1
    this.plan(repeats === 0 ? 0 : backoffMs(repeats - 1, patience.RETRY, this.parts.random), () => this.startEngine())
  }

  private wait(phase: WaitingPhase): void {
    if (this.phase !== phase) this.askCount = 0
    if (this.pictureAtMs === null || phase === 'ended' || phase === 'unknown-room' || phase === 'forbidden') this.letGo()
    const delayMs = askAgainMs(phase, this.askCount, this.parts.isHidden(), this.parts.random)
    this.askCount += 1
    this.plan(delayMs, () => void this.ask())
    this.enter(phase)
  }

  private plan(delayMs: number, run: () => void): void {
    this.cancelPlanned()
    this.retryAtMs = this.parts.timers.nowMs() + delayMs
    this.cancelPlan = this.parts.timers.after(delayMs, () => {
      this.cancelPlan = null
      this.retryAtMs = null
      if (this.pausedAtMs === null) run()
    })
  }

  private cancelPlanned(): void {
    this.cancelPlan?.()
    this.cancelPlan = null
    this.retryAtMs = null
  }

  // ---- what it tells

  private enter(phase: PlayerPhase): void {
    this.phase = phase
    this.tell()
  }

  private tell(): void {
    const snapshot = this.snapshot()
    const words = JSON.stringify(snapshot)
    if (words === this.told) return
    this.told = words
    this.parts.onChange(snapshot)
  }

  snapshot(): PlayerSnapshot {
    return {
      phase: this.phase,
      mode: this.engine?.mode ?? null,
      hasPicture: this.pictureAtMs !== null,
      muted: this.parts.video.muted,
      volume: this.parts.video.volume,
      retryAtMs: this.retryAtMs,
      lastFailure: this.lastFailure,
    }
  }

  figures(): PlayerFigures {
    const engine = this.engineAlive ? this.engine : null
    return this.meter.figures(engine, Math.max(0, this.starts - 1), this.parts.timers.nowMs())
  }

  /** UTC of the picture on screen: the stream's own word, or what latency makes of the server's clock. */
  pictureUtcMs(): number | null {
    if (!this.engine || !this.engineAlive || this.pictureAtMs === null) return null
    const { pictureUtcMs, latencyMs } = this.engine.figures()
    if (pictureUtcMs !== null) return pictureUtcMs
    return latencyMs === null ? null : this.parts.serverNowMs() - latencyMs
  }
}
