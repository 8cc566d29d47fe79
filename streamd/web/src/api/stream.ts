/**
 * `GET /api/v1/rooms/ROOM/stream`: is the room on air, and how does its stream look.
 *
 * Promise: reads what it knows and ignores the rest, so that an older page survives a newer server.
 */
import { list, number, readJson, record, text, type ReadOptions } from './http'

export type StreamState = 'live' | 'paused' | 'offline'

export interface StreamStatus {
  readonly state: StreamState
  readonly video: { readonly codec: string; readonly width: number | null; readonly height: number | null; readonly fps: number | null }
  readonly audio: { readonly codec: string }
  readonly bitrateBps: number | null
  readonly warnings: readonly Warning[]
}

/** A remark for the host, in both languages of the page. */
export interface Warning {
  readonly code: string
  readonly en: string
  readonly zh: string
}

/** What one question to the server has told. */
export type Presence =
  | { readonly kind: 'known'; readonly status: StreamStatus }
  | { readonly kind: 'unknown-room' }
  /** The server is there but would not say: playback itself has to find out. */
  | { readonly kind: 'unsaid'; readonly httpStatus: number }
  | { readonly kind: 'unreachable' }

export async function fetchPresence(room: string, options: ReadOptions): Promise<Presence> {
  const answer = await readJson(`/api/v1/rooms/${encodeURIComponent(room)}/stream`, options)
  switch (answer.kind) {
    case 'unreachable':
      return { kind: 'unreachable' }
    case 'problem':
      if (answer.problem.status === 404) return { kind: 'unknown-room' }
      return { kind: 'unsaid', httpStatus: answer.problem.status }
    case 'body': {
      const status = readStatus(answer.body)
      return status ? { kind: 'known', status } : { kind: 'unsaid', httpStatus: 200 }
    }
  }
}

function readStatus(body: unknown): StreamStatus | null {
  const said = record(body)
  const state = readState(said)
  if (!state) return null
  const video = record(said['video'])
  return {
    state,
    video: {
      codec: text(video['codec']),
      width: number(video['width']),
      height: number(video['height']),
      fps: number(video['fps']),
    },
    audio: { codec: text(record(said['audio'])['codec']) },
    bitrateBps: number(said['bitrate_bps']) ?? number(video['bitrate_bps']),
    warnings: list(said['warnings']).map(readWarning).filter((warning) => warning.en !== ''),
  }
}

function readState(said: Readonly<Record<string, unknown>>): StreamState | null {
  const state = said['state']
  if (state === 'live' || state === 'on_air') return 'live'
  if (state === 'paused' || state === 'offline') return state
  if (typeof said['on_air'] === 'boolean') return said['on_air'] ? 'live' : 'offline'
  return null
}

function readWarning(said: unknown): Warning {
  const warning = record(said)
  const en = text(said) || text(warning['message'])
  return { code: text(warning['code']), en, zh: text(warning['message_zh']) || en }
}
