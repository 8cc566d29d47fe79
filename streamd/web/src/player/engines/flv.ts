/**
 * HTTP-FLV and WebSocket-FLV through mpegts.js.
 *
 * mpegts.js demuxes and feeds the source buffer; keeping close to live is `CatchUp`'s work, because its own two ways are a
 * jump that is heard or a rate that overshoots. No stash buffer (it would hold frames back), no lazy loading (it would cut
 * the connection when enough is buffered), audio gaps filled.
 */
import mpegts from 'mpegts.js'

import { CatchUp } from '../catchUp'
import { bufferedAheadMs, type Engine, type EngineContext, type EngineFigures } from '../engine'
import type { EngineFailure } from '../model'
import { RateWindow } from '../rate'

const CONFIG: mpegts.Config = {
  isLive: true,
  enableStashBuffer: false,
  stashInitialSize: 128,
  lazyLoad: false,
  autoCleanupSourceBuffer: true,
  autoCleanupMaxBackwardDuration: 40,
  autoCleanupMinBackwardDuration: 30,
  deferLoadAfterSourceOpen: false, // a tab opened in the background would wait for the source for ever
  fixAudioTimestampGap: true,
}

/** A return to live that would win less than this is not worth the jump. */
const LEAVE_BEHIND_MS = 800

// Its own log repeats what the health panel says, every 600 ms.
mpegts.LoggingControl.applyConfig({ enableAll: false })

class FlvEngine implements Engine {
  private readonly player: mpegts.Player
  private readonly catchUp = new CatchUp()
  private readonly bytes = new RateWindow(10_000, 1_500)
  private bytesTotal = 0
  private reportedAtMs = performance.now()
  private failed = false

  constructor(
    readonly mode: 'flv' | 'ws-flv',
    private readonly context: EngineContext,
  ) {
    this.player = mpegts.createPlayer({ type: 'flv', isLive: true, url: context.address }, CONFIG)
  }

  start(): void {
    const { player } = this
    player.on(mpegts.Events.ERROR, (type: string, detail: string, info: unknown) => this.onError(type, detail, info))
    player.on(mpegts.Events.LOADING_COMPLETE, () => this.fail({ kind: 'end-of-stream', detail: 'body finished' }))
    player.on(mpegts.Events.STATISTICS_INFO, (info: { speed?: number }) => this.onStatistics(info.speed ?? 0))
    player.attachMediaElement(this.context.video)
    player.load()
  }

  tick(playedMs: number): void {
    const { video } = this.context
    const pace = this.catchUp.decide(bufferedAheadMs(video), playedMs)
    if (pace.jumpToAheadMs !== null) this.jump(pace.jumpToAheadMs)
    if (video.playbackRate !== pace.rate) video.playbackRate = pace.rate
  }

  stalled(): void {
    this.catchUp.stalled()
  }

  toLive(): void {
    const { targetMs } = this.catchUp
    if (bufferedAheadMs(this.context.video) > targetMs + LEAVE_BEHIND_MS) this.jump(targetMs)
  }

  figures(): EngineFigures {
    const latencyMs = bufferedAheadMs(this.context.video)
    const rate = this.bytes.perSecond
    return {
      latencyMs,
      latencyBasis: 'buffer',
      bitrateBps: rate === null ? null : Math.round(rate * 8),
      pictureUtcMs: null,
    }
  }

  stop(): void {
    this.failed = true
    this.context.video.playbackRate = 1
    this.player.destroy()
  }

  private jump(aheadMs: number): void {
    const { buffered, currentTime } = this.context.video
    if (buffered.length === 0) return
    const target = buffered.end(buffered.length - 1) - aheadMs / 1_000
    if (target > currentTime) this.context.video.currentTime = target
  }

  private onStatistics(kibPerSecond: number): void {
    const nowMs = performance.now()
    this.bytesTotal += (kibPerSecond * 1_024 * (nowMs - this.reportedAtMs)) / 1_000
    this.reportedAtMs = nowMs
    this.bytes.observe(this.bytesTotal, nowMs)
  }

  private onError(type: string, detail: string, info: unknown): void {
    const status = typeof info === 'object' && info !== null && 'code' in info ? Number(info.code) : 0
    const shown = status > 0 ? `${detail} ${status}` : detail
    this.fail({ kind: failureKind(type, detail, status), detail: shown })
  }

  private fail(failure: EngineFailure): void {
    if (this.failed) return
    this.failed = true
    this.context.onFailure(failure)
  }
}

function failureKind(type: string, detail: string, status: number): EngineFailure['kind'] {
  if (detail === mpegts.ErrorDetails.MEDIA_CODEC_UNSUPPORTED) return 'codec'
  if (detail === mpegts.ErrorDetails.MEDIA_FORMAT_UNSUPPORTED) return 'codec'
  if (type === mpegts.ErrorTypes.MEDIA_ERROR) return 'media'
  return status === 404 ? 'not-found' : 'network'
}

export function makeFlvEngine(mode: 'flv' | 'ws-flv') {
  return (context: EngineContext): Engine => new FlvEngine(mode, context)
}
