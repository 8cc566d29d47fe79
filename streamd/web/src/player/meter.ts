/**
 * What can be measured on the element: movement, stalls, frames.
 *
 * Promise: reads only; times are the player's timers.
 */
import { bufferedAheadMs, type Engine } from './engine'
import type { PlayerFigures } from './model'
import { Progress } from './progress'
import { RateWindow } from './rate'

export class Meter {
  private readonly progress = new Progress()
  private readonly frames = new RateWindow(5_000, 1_500)
  private firstFrameAtMs: number | null = null
  private newestMoveAtMs = -Infinity

  constructor(private readonly video: HTMLVideoElement) {}

  /** When the picture last moved; -Infinity when it never did. */
  get movedAtMs(): number {
    return this.newestMoveAtMs
  }

  picture(nowMs: number): void {
    this.firstFrameAtMs ??= nowMs
    this.newestMoveAtMs = nowMs
  }

  /** Looks at the element; true when a stall has just begun. */
  observe(expected: boolean, nowMs: number): boolean {
    const stallsBefore = this.progress.stalls
    this.progress.observe(this.video.currentTime, expected, nowMs)
    if (expected && this.progress.stalledForMs(nowMs) === 0) this.newestMoveAtMs = nowMs
    const quality = this.video.getVideoPlaybackQuality?.()
    if (quality) this.frames.observe(quality.totalVideoFrames, nowMs)
    return this.progress.stalls > stallsBefore
  }

  get stalls(): number {
    return this.progress.stalls
  }

  stalledForMs(nowMs: number): number {
    return this.progress.stalledForMs(nowMs)
  }

  figures(engine: Engine | null, restarts: number, nowMs: number): PlayerFigures {
    const { video } = this
    const told = engine?.figures()
    const quality = video.getVideoPlaybackQuality?.()
    const fps = this.frames.perSecond
    return {
      mode: engine?.mode ?? null,
      latencyMs: told?.latencyMs ?? null,
      latencyBasis: told?.latencyBasis ?? null,
      bufferMs: bufferedAheadMs(video),
      width: video.videoWidth,
      height: video.videoHeight,
      fps: fps === null ? null : Math.round(fps),
      bitrateBps: told?.bitrateBps ?? null,
      droppedFrames: quality?.droppedVideoFrames ?? 0,
      decodedFrames: quality?.totalVideoFrames ?? 0,
      stalls: this.progress.stalls,
      stallMs: Math.round(this.progress.stallTotalMs(nowMs)),
      firstFrameMs: this.firstFrameAtMs === null ? null : Math.round(this.firstFrameAtMs),
      currentTime: video.currentTime,
      playbackRate: video.playbackRate,
      restarts,
    }
  }
}
