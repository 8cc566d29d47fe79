/**
 * A player with everything around it in the test's hands: the server's word, the engines, time.
 */
import type { Presence, StreamState } from '@/api/stream'
import type { Engine, EngineContext } from '@/player/engine'
import type { EngineFailure, PlayerSnapshot, PlayMode } from '@/player/model'
import { LivePlayer } from '@/player/player'

import { FakeVideo } from './fakeVideo'
import { HandTimers } from './handTimers'

export class FakeEngine implements Engine {
  stopped = false
  stalledCount = 0
  toLiveCount = 0
  ticks = 0

  constructor(
    readonly mode: PlayMode,
    readonly context: EngineContext,
  ) {}

  start(): void {}
  tick(): void {
    this.ticks += 1
  }
  stalled(): void {
    this.stalledCount += 1
  }
  toLive(): void {
    this.toLiveCount += 1
  }
  figures() {
    return { latencyMs: 480, latencyBasis: 'buffer', bitrateBps: null, pictureUtcMs: null } as const
  }
  stop(): void {
    this.stopped = true
  }
  fail(kind: EngineFailure['kind']): void {
    this.context.onFailure({ kind, detail: kind })
  }
}

const NO_VIDEO = { codec: '', width: null, height: null, fps: null }

export class PlayerWorld {
  readonly video = new FakeVideo()
  readonly timers = new HandTimers()
  readonly engines: FakeEngine[] = []
  readonly phases: string[] = []
  presence: Presence = { kind: 'unreachable' }
  asked = 0
  hidden = false
  framesLost = 0
  /** A way whose code cannot be fetched. */
  missingChunk: PlayMode | null = null
  /** What an engine does as soon as it is started: show a picture, nothing, or fail. */
  onStart: 'picture' | 'nothing' | EngineFailure['kind'] = 'picture'
  snapshot: PlayerSnapshot | null = null
  readonly player: LivePlayer

  constructor(ways: readonly PlayMode[] = ['flv', 'hls'], sound = { muted: true, volume: 1 }) {
    this.server('live')
    this.player = new LivePlayer(
      {
        video: this.video.asElement,
        address: (mode) => `test:${mode}`,
        loadEngine: (mode) => this.load(mode),
        askServer: () => {
          this.asked += 1
          return Promise.resolve(this.presence)
        },
        timers: this.timers,
        random: () => 0.5,
        serverNowMs: () => 1_000_000 + this.timers.nowMs(),
        isHidden: () => this.hidden,
        onChange: (snapshot) => this.onChange(snapshot),
        onFrameLost: () => {
          this.framesLost += 1
        },
      },
      ways,
      sound,
    )
  }

  server(state: StreamState | 'unknown' | 'away'): void {
    if (state === 'away') this.presence = { kind: 'unreachable' }
    else if (state === 'unknown') this.presence = { kind: 'unknown-room' }
    else {
      const status = { state, video: NO_VIDEO, audio: { codec: '' }, bitrateBps: null, warnings: [] }
      this.presence = { kind: 'known', status }
    }
  }

  get phase(): string | undefined {
    return this.snapshot?.phase
  }

  get engine(): FakeEngine {
    const newest = this.engines.at(-1)
    if (!newest) throw new Error('no engine was started')
    return newest
  }

  /** Time passes and the picture moves with it. */
  async play(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 125) {
      this.video.currentTime += 0.125
      await this.timers.pass(125)
    }
  }

  /** Time passes and the picture stands still. */
  async wait(ms: number): Promise<void> {
    await this.timers.pass(ms)
  }

  private load(mode: PlayMode) {
    if (this.missingChunk === mode) return Promise.reject(new Error('no such file'))
    return Promise.resolve((context: EngineContext) => {
      const engine = new FakeEngine(mode, context)
      this.engines.push(engine)
      const { onStart } = this
      engine.start = () => {
        this.video.currentTime = 0
        if (onStart === 'picture') queueMicrotask(() => engine.stopped || this.video.showFirstFrame())
        else if (onStart !== 'nothing') queueMicrotask(() => engine.fail(onStart))
      }
      return engine
    })
  }

  private onChange(snapshot: PlayerSnapshot): void {
    this.snapshot = snapshot
    if (this.phases.at(-1) !== snapshot.phase) this.phases.push(snapshot.phase)
  }
}
