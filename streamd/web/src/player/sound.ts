/**
 * Sound and the browser's autoplay rule.
 *
 * Promise: the picture starts whenever the browser lets anything start. Sound is tried first only where the viewer has turned it
 * on before; refused, the picture starts muted and the page offers a button.
 */
export interface SoundWish {
  readonly muted: boolean
  /** 0 to 1. */
  readonly volume: number
}

export type Started = 'started' | 'blocked' | 'superseded'

/** Starts the element as the wish says, or muted, or reports that the browser wants a tap. */
export async function startWithSound(video: HTMLVideoElement, wish: SoundWish): Promise<Started> {
  video.volume = wish.volume
  video.muted = wish.muted
  const first = await tryPlay(video)
  if (first !== 'blocked' || video.muted) return first
  video.muted = true
  return tryPlay(video)
}

async function tryPlay(video: HTMLVideoElement): Promise<Started> {
  try {
    await video.play()
    return 'started'
  } catch (error) {
    // AbortError: a new source or a pause came in between, and whoever did that decides what happens next.
    return error instanceof DOMException && error.name === 'NotAllowedError' ? 'blocked' : 'superseded'
  }
}
