import { expect, it } from 'vitest'

import type { RoomSummary } from '@/api/rooms'
import { shelvesOf } from '@/home/shelves'

const NOW = 1_000
const room = (name: string, given: Partial<RoomSummary> = {}): RoomSummary => {
  return { room: name, title: name, host: '', onAir: false, cover: '', startsAtMs: null, ...given }
}
const ROOMS = [
  room('late', { startsAtMs: 9_000 }),
  room('tea', { title: '龙井 Tea', host: 'Mei', onAir: true, startsAtMs: 5_000 }),
  room('over', { startsAtMs: 500 }),
  room('soon', { startsAtMs: 2_000 }),
]
const names = (words: string): string[][] => shelvesOf(ROOMS, words, NOW).map((shelf) => [shelf.name, ...shelf.rooms.map((one) => one.room)])

it('rooms on air come first, then announced ones by their time, then the others', () => {
  expect(names('')).toEqual([['live', 'tea'], ['soon', 'soon', 'late'], ['others', 'over']])
})

it('a search finds every word in title, host or address', () => {
  expect(names('TEA mei')).toEqual([['live', 'tea']])
  expect(names('龙井')).toEqual([['live', 'tea']])
  expect(names('tea nobody')).toEqual([])
})
