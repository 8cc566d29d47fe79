/**
 * The system's own HLS player: iPhone, and browsers without MediaSource.
 *
 * It decides on latency and retries itself; what it tells is the date of the stream's start (`getStartDate`, Safari), which
 * makes the picture's UTC.
 */
import type { Engine, EngineContext, EngineFigures } from '../engine'
import type { EngineFailure } from '../model'

interface DatedVideo extends HTMLVideoElement {
  getStartDate?(): Date
}

/** Behind the seekable edge by less than this, `toLive` leaves the picture where it is. */
const NEAR_LIVE_S = 4

class NativeHlsEngine implements Engine {
  readonly mode = 'native-hls'
  private failed = false
  private readonly onEnded = (): void => this.fail({ kind: 'end-of-stream', detail: 'ended' })
  private readonly onError = (): void => {
    const { error } = this.context.video
    const detail = error ? `media error ${error.code} ${error.message}`.trim() : 'media error'
    // 4 is MEDIA_ERR_SRC_NOT_SUPPORTED, which Safari also says for a 404: only the server can tell them apart.
    this.fail({ kind: error?.code === 3 ? 'media' : 'network', detail })
  }

  constructor(private readonly context: EngineContext) {}

  start(): void {
    const { video, address } = this.context
    video.addEventListener('error', this.onError)
    video.addEventListener('ended', this.onEnded)
    video.src = address
  }

  tick(): void {}

  stalled(): void {}

  toLive(): void {
    const { video } = this.context
    if (video.seekable.length === 0) return
    const edge = video.seekable.end(video.seekable.length - 1)
    if (edge - video.currentTime > NEAR_LIVE_S) video.currentTime = edge
  }

  figures(): EngineFigures {
    const startMs = (this.context.video as DatedVideo).getStartDate?.().getTime() ?? NaN
    const pictureUtcMs = Number.isFinite(startMs) ? startMs + this.context.video.currentTime * 1_000 : null
    return {
      latencyMs: pictureUtcMs === null ? null : Math.round(this.context.serverNowMs() - pictureUtcMs),
      latencyBasis: pictureUtcMs === null ? null : 'clock',
      bitrateBps: null,
      pictureUtcMs,
    }
  }

  stop(): void {
    const { video } = this.context
    this.failed = true
    video.removeEventListener('error', this.onError)
    video.removeEventListener('ended', this.onEnded)
    video.removeAttribute('src')
    video.load()
  }

  private fail(failure: EngineFailure): void {
    if (this.failed) return
    this.failed = true
    this.context.onFailure(failure)
  }
}

export function makeNativeHlsEngine(context: EngineContext): Engine {
  return new NativeHlsEngine(context)
}
