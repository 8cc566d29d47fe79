/**
 * The rooms of the home page, put in order: on air, announced (soonest first), and the others.
 *
 * Pure. A search looks at titles, hosts and addresses, every word of it anywhere and in any case.
 */
import type { RoomSummary } from '@/api/rooms'

export interface HomeShelf {
  readonly name: 'live' | 'soon' | 'others'
  readonly title: 'home.title' | 'home.soon' | 'home.others'
  readonly rooms: readonly RoomSummary[]
}

export function shelvesOf(rooms: readonly RoomSummary[], words: string, nowMs: number): HomeShelf[] {
  const found = rooms.filter((room) => matches(room, words))
  const startOf = (room: RoomSummary): number => (room.startsAtMs !== null && room.startsAtMs > nowMs ? room.startsAtMs : 0)
  const live = found.filter((room) => room.onAir)
  const soon = found.filter((room) => !room.onAir && startOf(room) > 0).sort((a, b) => startOf(a) - startOf(b))
  const others = found.filter((room) => !room.onAir && startOf(room) === 0)
  const shelves: HomeShelf[] = [
    { name: 'live', title: 'home.title', rooms: live },
    { name: 'soon', title: 'home.soon', rooms: soon },
    { name: 'others', title: 'home.others', rooms: others },
  ]
  return shelves.filter((shelf) => shelf.rooms.length > 0)
}

function matches(room: RoomSummary, words: string): boolean {
  const text = `${room.title} ${room.host} ${room.room}`.toLowerCase()
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word))
}
