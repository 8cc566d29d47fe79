/**
 * Low-latency HLS through hls.js.
 *
 * hls.js asks for blocking reloads and parts by itself; what is set here is what its defaults leave open: it adds a whole
 * second of latency for every stall. Keeping close to live is `CatchUp`'s work, letting go of what was played `backBuffer`'s,
 * retries of the multivariant playlist are the ladder's. No worker: our parts are fMP4 already, there is nothing to transmux,
 * and a worker would be one more file before the first frame.
 */
import Hls, { ErrorDetails, ErrorTypes, Events, type ErrorData, type FragBufferedData, type HlsConfig } from 'hls.js/light'

import { removeUpTo } from '../backBuffer'
import { bufferedAheadMs, type Engine, type EngineContext, type EngineFigures } from '../engine'
import type { EngineFailure } from '../model'
import { RateWindow } from '../rate'

const CONFIG: Partial<HlsConfig> = {
  lowLatencyMode: true,
  enableWorker: false,
  backBufferLength: Infinity,
  maxBufferLength: 12,
  maxLiveSyncPlaybackRate: 1,
  liveSyncOnStallIncrease: 0,
  liveDurationInfinity: true,
  startFragPrefetch: true,
  manifestLoadPolicy: {
    default: { maxTimeToFirstByteMs: 6_000, maxLoadTimeMs: 10_000, timeoutRetry: null, errorRetry: null },
  },
}

/** A return to live that would win less than this is not worth the jump. */
const LEAVE_BEHIND_S = 1.5
const CODEC_ERRORS: ReadonlySet<string> = new Set([
  ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR,
  ErrorDetails.BUFFER_ADD_CODEC_ERROR,
  ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR,
])

class HlsEngine implements Engine {
  readonly mode = 'hls'
  private readonly hls = new Hls(CONFIG)
  private readonly bytes = new RateWindow(10_000, 1_500)
  private bytesTotal = 0
  private failed = false
  private readonly onEnded = (): void => this.fail({ kind: 'end-of-stream', detail: 'EXT-X-ENDLIST' })

  constructor(private readonly context: EngineContext) {}

  start(): void {
    const { hls, context } = this
    hls.on(Events.ERROR, (_event, data) => this.onError(data))
    hls.on(Events.FRAG_BUFFERED, (_event, data) => {
      this.bytesTotal += data.stats.total
      this.bytes.observe(this.bytesTotal, performance.now())
      this.trim(data)
    })
    context.video.addEventListener('ended', this.onEnded)
    hls.loadSource(context.address)
    hls.attachMedia(context.video)
  }

  tick(playedMs: number): void {
    const { hls } = this
    const { video, catchUp } = this.context
    if (hls.targetLatency === null || hls.latency <= 0) return
    const behindMs = (hls.latency - hls.targetLatency) * 1_000
    const pace = catchUp.decide({ behindMs, bufferMs: bufferedAheadMs(video), playedMs })
    if (pace.skipMs > 0) video.currentTime += pace.skipMs / 1_000
    if (video.playbackRate !== pace.rate) video.playbackRate = pace.rate
  }

  stalled(playedMs: number): void {
    this.context.catchUp.stalled(playedMs)
  }

  toLive(): void {
    const { video } = this.context
    const position = this.hls.liveSyncPosition
    if (position !== null && position - video.currentTime > LEAVE_BEHIND_S) video.currentTime = position
  }

  figures(): EngineFigures {
    const pictureUtcMs = this.hls.playingDate?.getTime() ?? null
    const byClock = pictureUtcMs !== null
    const edgeMs = this.hls.latency > 0 ? Math.round(this.hls.latency * 1_000) : null
    const rate = this.bytes.perSecond
    return {
      latencyMs: byClock ? Math.round(this.context.serverNowMs() - pictureUtcMs) : edgeMs,
      latencyBasis: byClock ? 'clock' : edgeMs === null ? null : 'buffer',
      bitrateBps: rate === null ? null : Math.round(rate * 8),
      pictureUtcMs,
    }
  }

  stop(): void {
    this.failed = true
    this.context.video.removeEventListener('ended', this.onEnded)
    this.context.video.playbackRate = 1
    this.hls.destroy()
  }

  private trim({ frag, part }: FragBufferedData): void {
    const { buffered, currentTime } = this.context.video
    const edge = this.hls.latestLevelDetails?.edge
    if (edge === undefined || buffered.length === 0) return
    const end = part === null ? frag.end : part.end
    const upTo = removeUpTo({ end, edge, bufferStart: buffered.start(0), position: currentTime })
    if (upTo !== null) this.hls.trigger(Events.BUFFER_FLUSHING, { startOffset: 0, endOffset: upTo, type: null })
  }

  private onError(data: ErrorData): void {
    if (!data.fatal) return
    this.hls.stopLoad()
    this.fail({ kind: failureKind(data), detail: describe(data) })
  }

  private fail(failure: EngineFailure): void {
    if (this.failed) return
    this.failed = true
    this.context.onFailure(failure)
  }
}

function failureKind(data: ErrorData): EngineFailure['kind'] {
  if (CODEC_ERRORS.has(data.details)) return 'codec'
  if (data.type === ErrorTypes.MEDIA_ERROR || data.type === ErrorTypes.MUX_ERROR) return 'media'
  const status = data.response?.code ?? 0
  if (status === 401 || status === 403) return 'forbidden'
  return status === 404 ? 'not-found' : 'network'
}

function describe(data: ErrorData): string {
  const status = data.response?.code ? ` ${data.response.code}` : ''
  return `${data.details}${status}`
}

export function makeHlsEngine(context: EngineContext): Engine {
  return new HlsEngine(context)
}
