/**
 * A media element as the player needs it: what it plays is said by the test.
 */
export class FakeVideo extends EventTarget {
  currentTime = 0
  paused = true
  ended = false
  error: { message: string } | null = null
  muted = false
  volume = 1
  playbackRate = 1
  videoWidth = 0
  videoHeight = 0
  /** What `play` does: a browser may refuse sound, or everything. */
  autoplay: 'allowed' | 'muted-only' | 'refused' = 'allowed'
  bufferEnd = 0

  get buffered(): TimeRanges {
    const end = this.bufferEnd
    return { length: end > 0 ? 1 : 0, start: () => 0, end: () => end }
  }

  play(): Promise<void> {
    const refused = this.autoplay === 'refused' || (this.autoplay === 'muted-only' && !this.muted)
    if (refused) return Promise.reject(new DOMException('no', 'NotAllowedError'))
    this.paused = false
    return Promise.resolve()
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.dispatchEvent(new Event('pause'))
  }

  canPlayType(): string {
    return ''
  }

  showFirstFrame(): void {
    this.videoWidth = 1280
    this.videoHeight = 720
    this.dispatchEvent(new Event('loadeddata'))
  }

  get asElement(): HTMLVideoElement {
    return this as unknown as HTMLVideoElement
  }
}
