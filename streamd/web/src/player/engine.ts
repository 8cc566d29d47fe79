/**
 * One way to play, as the player sees it.
 *
 * An engine owns the media element's source from `start` to `stop`. It reports a failure at most once and then stays quiet;
 * the last frame remains on the element until `stop`, so that the page can dim it instead of going black. Engines are in
 * files of their own and loaded when needed: the page does not pay for a way it never plays.
 */
import type { CatchUp } from './catchUp'
import type { EngineFailure, PlayMode } from './model'

export interface EngineFigures {
  readonly latencyMs: number | null
  readonly latencyBasis: 'clock' | 'buffer' | null
  readonly bitrateBps: number | null
  /** UTC of the picture on screen as the stream states it, or null when it does not. */
  readonly pictureUtcMs: number | null
}

export interface Engine {
  readonly mode: PlayMode
  start(): void
  /** Called several times a second while playing: keep close to live. */
  tick(playedMs: number): void
  /** The picture stood still for a moment. */
  stalled(playedMs: number): void
  /** Back to the newest picture, after a pause or a sleep. */
  toLive(): void
  figures(): EngineFigures
  /** Ends loading and takes the source off the element. */
  stop(): void
}

export interface EngineContext {
  readonly video: HTMLVideoElement
  readonly address: string
  readonly serverNowMs: () => number
  /** Fresh for each engine. */
  readonly catchUp: CatchUp
  readonly onFailure: (failure: EngineFailure) => void
}

export type EngineMaker = (context: EngineContext) => Engine
/** Loads the code of one way; rejects when the file cannot be fetched. */
export type EngineLoader = (mode: PlayMode) => Promise<EngineMaker>

/** Milliseconds of media ahead of the picture, in the range that holds it. */
export function bufferedAheadMs(video: Pick<HTMLVideoElement, 'buffered' | 'currentTime'>): number {
  const { buffered, currentTime } = video
  for (let index = buffered.length - 1; index >= 0; index -= 1) {
    if (buffered.start(index) <= currentTime + 0.1) {
      return Math.max(0, Math.round((buffered.end(index) - currentTime) * 1_000))
    }
  }
  return 0
}
