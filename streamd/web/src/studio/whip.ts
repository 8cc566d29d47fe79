/**
 * Publishing from the browser: one offer by HTTP POST, one answer, and media over WebRTC (RFC 9725).
 *
 * Promise: `start` resolves when the server has taken the offer, or with the reason why not; `stop` tells the server, so that
 * viewers need not wait for a time-out. H.264 is asked for first: it goes to the viewers as it is.
 */
import { problemFrom } from '@/api/http'

export interface WhipProblem {
  readonly status: number
  readonly code: string
  readonly detail: string
}

export interface WhipFigures {
  readonly bitrateBps: number
  readonly fps: number
  readonly lost: number
}

/** Longer than any host candidate takes; servers that are asked for reflexive ones may be slow, and are not needed. */
const GATHERING_MS = 800
const ANSWER_MS = 10_000

export class WhipPublisher {
  private readonly peer = new RTCPeerConnection()
  private session = ''
  private sent = { atMs: 0, bytes: 0 }

  constructor(
    private readonly parts: {
      readonly address: string
      readonly key: string
      readonly onState: (state: RTCPeerConnectionState) => void
    },
  ) {
    this.peer.addEventListener('connectionstatechange', () => parts.onState(this.peer.connectionState))
  }

  async start(media: MediaStream, maxBitrateBps: number): Promise<WhipProblem | null> {
    for (const track of media.getTracks()) {
      const encoding = track.kind === 'video' ? [{ maxBitrate: maxBitrateBps }] : []
      const transceiver = this.peer.addTransceiver(track, { direction: 'sendonly', streams: [media], sendEncodings: encoding })
      if (track.kind !== 'video') continue
      preferH264(transceiver)
      await keepSize(transceiver.sender)
    }
    try {
      await this.peer.setLocalDescription(await this.peer.createOffer())
      await this.gathered()
      const response = await fetch(this.parts.address, {
        method: 'POST',
        headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${this.parts.key}` },
        body: this.peer.localDescription?.sdp ?? '',
        signal: AbortSignal.timeout?.(ANSWER_MS) ?? null,
      })
      if (response.status !== 201) {
        const said = problemFrom(response.status, await response.json().catch(() => null))
        return { status: response.status, code: said.code, detail: said.detail || said.title }
      }
      this.session = new URL(response.headers.get('Location') ?? '', this.parts.address).href
      await this.peer.setRemoteDescription({ type: 'answer', sdp: await response.text() })
      return null
    } catch (error) {
      return { status: 0, code: 'unreachable', detail: error instanceof Error ? error.message : '' }
    }
  }

  async stop(): Promise<void> {
    const { session } = this
    this.session = ''
    // `keepalive`: the farewell goes out although the page is closed. First the word, then the deed: a peer that has gone
    // is a session that the server knows no more.
    if (session) await fetch(session, { method: 'DELETE', keepalive: true, headers: this.credential }).catch(() => {})
    this.peer.close()
  }

  private get credential(): Record<string, string> {
    return { Authorization: `Bearer ${this.parts.key}` }
  }

  async figures(): Promise<WhipFigures> {
    let bytes = 0
    let fps = 0
    let lost = 0
    for (const entry of (await this.peer.getStats()).values() as Iterable<Record<string, unknown>>) {
      if (entry['type'] === 'outbound-rtp') {
        bytes += Number(entry['bytesSent'] ?? 0)
        if (entry['kind'] === 'video') fps = Number(entry['framesPerSecond'] ?? 0)
      }
      if (entry['type'] === 'remote-inbound-rtp') lost += Math.max(0, Number(entry['packetsLost'] ?? 0))
    }
    const atMs = performance.now()
    const since = this.sent
    this.sent = { atMs, bytes }
    const bitrateBps = since.atMs > 0 ? ((bytes - since.bytes) * 8_000) / (atMs - since.atMs) : 0
    return { bitrateBps: Math.max(0, bitrateBps), fps, lost }
  }

  private gathered(): Promise<void> {
    if (this.peer.iceGatheringState === 'complete') return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, GATHERING_MS)
      this.peer.addEventListener('icegatheringstatechange', () => {
        if (this.peer.iceGatheringState !== 'complete') return
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

// On a bad day fewer pictures, not smaller ones: every change of size makes all viewers' players begin anew.
async function keepSize(sender: RTCRtpSender): Promise<void> {
  const parameters = sender.getParameters()
  await sender.setParameters({ ...parameters, degradationPreference: 'maintain-resolution' }).catch(() => undefined)
}

function preferH264(transceiver: RTCRtpTransceiver): void {
  const all = RTCRtpSender.getCapabilities('video')?.codecs ?? []
  const first = all.filter((codec) => codec.mimeType.toLowerCase() === 'video/h264')
  const helpers = all.filter((codec) => /\/(rtx|red|ulpfec)$/i.test(codec.mimeType))
  if (first.length > 0 && 'setCodecPreferences' in transceiver) transceiver.setCodecPreferences([...first, ...helpers])
}
