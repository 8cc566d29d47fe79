/**
 * Fetches the code of a way to play when it is first needed.
 */
import type { EngineMaker } from '../engine'
import type { PlayMode } from '../model'

export async function loadEngine(mode: PlayMode): Promise<EngineMaker> {
  switch (mode) {
    case 'flv':
    case 'ws-flv':
      return (await import('./flv')).makeFlvEngine(mode)
    case 'hls':
      return (await import('./hls')).makeHlsEngine
    case 'native-hls':
      return (await import('./native')).makeNativeHlsEngine
  }
}

/** Where each way finds the room's stream. `origin` is the page's; `token` opens a signed room, and playlists carry it on. */
export function streamAddress(mode: PlayMode, room: string, origin: string, token: string): string {
  const path = `/live/${encodeURIComponent(room)}`
  const query = token === '' ? '' : `?token=${encodeURIComponent(token)}`
  switch (mode) {
    case 'flv':
      return `${origin}${path}.flv${query}`
    case 'ws-flv':
      return `${origin.replace(/^http/, 'ws')}${path}.flv${query}`
    case 'hls':
    case 'native-hls':
      return `${origin}${path}/index.m3u8${query}`
  }
}
