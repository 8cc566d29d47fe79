/**
 * HTTP-FLV and WebSocket-FLV through mpegts.js.
 *
 * mpegts.js demuxes and feeds the source buffer; keeping close to live is `CatchUp`'s work. No stash buffer (it would hold frames back), no lazy loading (it would cut
 * the connection when enough is buffered), audio gaps filled.
 */
import mpegts from 'mpegts.js'

import { bufferedAheadMs, type Engine, type EngineContext, type EngineFigures } from '../engine'
import type { EngineFailure } from '../model'
import { RateWindow } from '../rate'

/** How far behind the newest frame the picture is meant to be: what a usual network needs to bring the next ones. */
const GOAL_MS = 450

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
  private readonly bytes = new RateWindow(10_000, 1_500)
  private bytesTotal = 0
  private reportedAtMs = performance.now()
  private failed = false
  // mpegts.js hears of a failed decoder only with its next append.
  private readonly onElementError = (): void => {
    this.fail({ kind: 'media', detail: this.context.video.error?.message ?? 'media error' })
  }

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
    this.context.video.addEventListener('error', this.onElementError)
    player.attachMediaElement(this.context.video)
    player.load()
  }

  tick(playedMs: number): void {
    const { video } = this.context
    const bufferMs = bufferedAheadMs(video)
    const pace = this.context.catchUp.decide({ behindMs: bufferMs - GOAL_MS, bufferMs, playedMs })
    if (pace.skipMs > 0) video.currentTime += pace.skipMs / 1_000
    if (video.playbackRate !== pace.rate) video.playbackRate = pace.rate
  }

  stalled(playedMs: number): void {
    this.context.catchUp.stalled(playedMs)
  }

  toLive(): void {
    const { video } = this.context
    const behindMs = bufferedAheadMs(video) - GOAL_MS - this.context.catchUp.patienceMs
    if (behindMs > LEAVE_BEHIND_MS) video.currentTime += behindMs / 1_000
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
    this.context.video.removeEventListener('error', this.onElementError)
    this.context.video.playbackRate = 1
    this.player.destroy()
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
  if (status === 401 || status === 403) return 'forbidden'
  return status === 404 ? 'not-found' : 'network'
}

export function makeFlvEngine(mode: 'flv' | 'ws-flv') {
  return (context: EngineContext): Engine => new FlvEngine(mode, context)
}
