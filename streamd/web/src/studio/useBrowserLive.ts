/**
 * Going live from this browser: what is captured, how loud it is, and the publication that carries it.
 *
 * The capture is asked for when the host chooses it, and given back when the page or the choice goes.
 */
import { onBeforeUnmount, ref, shallowRef } from 'vue'

import { WhipPublisher, type WhipFigures, type WhipProblem } from './whip'

export type Source = 'camera' | 'screen'
export type LiveState = 'idle' | 'asking' | 'ready' | 'connecting' | 'live' | 'broken'
/** `denied`, `missing`, `insecure`, `busy`, or what the server said. */
export interface LiveProblem {
  readonly code: string
  readonly detail: string
}

const PICTURE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } }
const LOUDNESS_EVERY_MS = 100
const FIGURES_EVERY_MS = 1_000

export function useBrowserLive(address: string) {
  const state = ref<LiveState>('idle')
  const media = shallowRef<MediaStream | null>(null)
  const loudness = ref(0)
  const micMuted = ref(false)
  const problem = shallowRef<LiveProblem | null>(null)
  const figures = shallowRef<WhipFigures | null>(null)
  let publisher: WhipPublisher | null = null
  let audio: AudioContext | null = null
  const timers: ReturnType<typeof setInterval>[] = []

  async function choose(source: Source): Promise<void> {
    release()
    problem.value = null
    if (!navigator.mediaDevices) {
      problem.value = { code: 'insecure', detail: '' }
      return
    }
    state.value = 'asking'
    try {
      media.value = await capture(source)
    } catch (error) {
      state.value = 'idle'
      problem.value = { code: captureProblem(error), detail: error instanceof Error ? error.message : '' }
      return
    }
    state.value = 'ready'
    // The browser's own "stop sharing" button.
    media.value.getVideoTracks()[0]?.addEventListener('ended', () => void stop())
    measureLoudness(media.value)
  }

  function measureLoudness(stream: MediaStream): void {
    if (stream.getAudioTracks().length === 0) return
    audio = new AudioContext()
    const analyser = audio.createAnalyser()
    analyser.fftSize = 512
    audio.createMediaStreamSource(stream).connect(analyser)
    const samples = new Uint8Array(analyser.fftSize)
    timers.push(
      setInterval(() => {
        analyser.getByteTimeDomainData(samples)
        const square = samples.reduce((sum, sample) => sum + ((sample - 128) / 128) ** 2, 0) / samples.length
        const decibels = 10 * Math.log10(square + 1e-6)
        loudness.value = Math.max(0, Math.min(1, (decibels + 60) / 60))
      }, LOUDNESS_EVERY_MS),
    )
  }

  async function start(key: string, maxBitrateBps: number): Promise<void> {
    if (!media.value) return
    problem.value = null
    state.value = 'connecting'
    const made = new WhipPublisher({ address, key, onState: (now) => onPeer(made, now) })
    publisher = made
    const refused = await made.start(media.value, maxBitrateBps)
    if (refused) {
      await fail(refused)
      return
    }
    timers.push(setInterval(() => void made.figures().then((now) => (figures.value = now)), FIGURES_EVERY_MS))
  }

  function onPeer(from: WhipPublisher, now: RTCPeerConnectionState): void {
    if (from !== publisher) return
    if (now === 'connected') state.value = 'live'
    if (now === 'disconnected') state.value = 'connecting'
    if (now === 'failed') void fail({ status: 0, code: 'ice', detail: '' })
  }

  async function fail(why: WhipProblem): Promise<void> {
    const code = why.status === 401 || why.status === 403 ? 'key' : why.code
    problem.value = { code, detail: why.detail }
    state.value = 'broken'
    await publisher?.stop()
    publisher = null
  }

  function muteMic(): void {
    micMuted.value = !micMuted.value
    for (const track of media.value?.getAudioTracks() ?? []) track.enabled = !micMuted.value
  }

  async function stop(): Promise<void> {
    const leaving = publisher
    publisher = null
    release()
    state.value = 'idle'
    await leaving?.stop()
  }

  function release(): void {
    timers.splice(0).forEach(clearInterval)
    for (const track of media.value?.getTracks() ?? []) track.stop()
    media.value = null
    figures.value = null
    loudness.value = 0
    micMuted.value = false
    void audio?.close()
    audio = null
  }

  onBeforeUnmount(() => void stop())
  return { state, media, loudness, micMuted, problem, figures, choose, start, stop, muteMic }
}

async function capture(source: Source): Promise<MediaStream> {
  if (source === 'camera') return navigator.mediaDevices.getUserMedia({ video: PICTURE, audio: true })
  const screen = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30, max: 30 } } })
  // The screen's picture with the host's voice; without a microphone the show is silent, and the meter says so.
  const voice = await navigator.mediaDevices.getUserMedia({ audio: true }).catch(() => null)
  return new MediaStream([...screen.getVideoTracks(), ...(voice?.getAudioTracks() ?? [])])
}

function captureProblem(error: unknown): string {
  const name = error instanceof DOMException ? error.name : ''
  if (name === 'NotAllowedError') return 'denied'
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'missing'
  if (name === 'NotReadableError') return 'busy'
  return 'failed'
}
