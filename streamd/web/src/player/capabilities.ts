/**
 * What this browser can play, asked without loading a player.
 */
import type { Capabilities } from './ladder'

const H264_AAC = 'video/mp4; codecs="avc1.42E01E,mp4a.40.2"'

interface MediaHost {
  MediaSource?: { isTypeSupported(type: string): boolean }
  ManagedMediaSource?: { isTypeSupported(type: string): boolean }
  WebSocket?: unknown
}

export function readCapabilities(host: MediaHost, video: Pick<HTMLVideoElement, 'canPlayType'>): Capabilities {
  const mediaSource = host.MediaSource?.isTypeSupported(H264_AAC) ?? false
  const managed = host.ManagedMediaSource?.isTypeSupported(H264_AAC) ?? false
  return {
    mediaSource: mediaSource || managed,
    managedOnly: managed && !mediaSource,
    nativeHls: video.canPlayType('application/vnd.apple.mpegurl') !== '',
    webSocket: host.WebSocket !== undefined,
  }
}
