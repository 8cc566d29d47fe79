/**
 * The words of the player: ways to play, reasons to stop, phases the page shows.
 */

/** A way to bring the stream into the page. */
export type PlayMode = 'flv' | 'ws-flv' | 'hls' | 'native-hls'

/** What the viewer asked for; remembered. */
export type ModePreference = 'auto' | 'flv' | 'hls'

export type FailureKind =
  /** The connection was refused, reset or answered 5xx. */
  | 'network'
  /** 404: no such room, or not on air. */
  | 'not-found'
  /** 401 or 403: this room asks for a token, and ours is missing, old or of another room. */
  | 'forbidden'
  /** The stream ended in good order: FLV's body finished, or the playlist says ENDLIST. */
  | 'end-of-stream'
  /** The browser cannot decode it, in this way. */
  | 'codec'
  /** The decoder or the source buffer gave up. */
  | 'media'
  /** Connected, and no picture came. */
  | 'no-picture'
  /** The picture stood still for too long. */
  | 'stall'
  /** The player's own code could not be loaded. */
  | 'chunk'

export interface EngineFailure {
  readonly kind: FailureKind
  /** For the health panel and the log; not translated. */
  readonly detail: string
}

export type PlayerPhase =
  | 'loading'
  | 'playing'
  /** Playing, and starved for the moment. */
  | 'buffering'
  /** Stopped by the viewer. */
  | 'paused'
  /** The browser wants a tap first. */
  | 'blocked'
  /** The room has not been on air since the page opened. */
  | 'offline'
  /** On air a moment ago: the host's encoder is expected back. */
  | 'interrupted'
  | 'ended'
  /** The server does not answer. */
  | 'lost'
  | 'unknown-room'
  /** The room shows itself only to those with a good link. */
  | 'forbidden'
  | 'unsupported'

export interface PlayerSnapshot {
  readonly phase: PlayerPhase
  readonly mode: PlayMode | null
  /** A picture has been shown and is still on the element, if only as the last frame. */
  readonly hasPicture: boolean
  readonly muted: boolean
  readonly volume: number
  /** When the next try is due, on the player's timers; null when none is planned. */
  readonly retryAtMs: number | null
  /** The last time a way of playing was given up, and why. */
  readonly lastFailure: (EngineFailure & { readonly mode: PlayMode | null }) | null
}

/** Numbers for the health panel and the load tests; null where the browser or the stream does not tell. */
export interface PlayerFigures {
  readonly mode: PlayMode | null
  /** Behind the encoder's clock (HLS) or behind the newest frame received (FLV). */
  readonly latencyMs: number | null
  readonly latencyBasis: 'clock' | 'buffer' | null
  readonly bufferMs: number
  readonly width: number
  readonly height: number
  readonly fps: number | null
  readonly bitrateBps: number | null
  readonly droppedFrames: number
  readonly decodedFrames: number
  readonly stalls: number
  readonly stallMs: number
  readonly firstFrameMs: number | null
  readonly currentTime: number
  readonly playbackRate: number
  readonly restarts: number
}
