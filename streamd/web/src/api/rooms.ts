/**
 * `GET /api/v1/rooms` and `GET /api/v1/rooms/ROOM`: what is on air, and who is who.
 */
import { list, number, readJson, record, text, type ReadOptions } from './http'

export interface RoomSummary {
  readonly room: string
  readonly title: string
  readonly host: string
  readonly onAir: boolean
  /** Address of a picture, or empty. */
  readonly cover: string
  /** When the next show is announced for, UTC; null when it is not. */
  readonly startsAtMs: number | null
}

export type RoomList =
  | { readonly kind: 'rooms'; readonly rooms: readonly RoomSummary[] }
  | { readonly kind: 'unreachable' }

export async function fetchRooms(options: ReadOptions): Promise<RoomList> {
  const answer = await readJson('/api/v1/rooms', options)
  if (answer.kind === 'unreachable') return { kind: 'unreachable' }
  if (answer.kind === 'problem') return { kind: 'rooms', rooms: [] }
  const items = list(record(answer.body)['items'])
  return { kind: 'rooms', rooms: items.map(readSummary).filter((room) => room.room !== '') }
}

/** The room's names, or null when the server would not say. */
export async function fetchRoom(room: string, options: ReadOptions): Promise<RoomSummary | null> {
  const answer = await readJson(`/api/v1/rooms/${encodeURIComponent(room)}`, options)
  if (answer.kind !== 'body') return null
  const summary = readSummary(answer.body)
  return { ...summary, room }
}

function readSummary(body: unknown): RoomSummary {
  const said = record(body)
  return {
    room: text(said['room']),
    title: text(said['title']),
    host: text(said['host']) || text(said['owner']) || text(record(said['host'])['name']),
    onAir: said['on_air'] === true,
    cover: sameSite(text(said['cover'])),
    startsAtMs: number(said['starts_at_ms']),
  }
}

/**
 * Pictures come from this server or not at all: the page's policy would refuse others, and tell them who watches. The server
 * names them by its public address, which need not be the one that this page came by.
 */
export function sameSite(address: string): string {
  if (address.startsWith('/')) return address.startsWith('//') ? '' : address
  const path = /^https?:\/\/[^/]+(\/pictures\/[0-9a-f]+\.jpg)$/.exec(address)?.[1]
  return path ?? ''
}
