import { describe, expect, it } from 'vitest'

import { Lanes, Places, type Flight } from '@/danmaku/lanes'

const WIDTH = 1_000

function lanes(count: number): Lanes {
  const made = new Lanes()
  made.resize(count, WIDTH)
  return made
}

/** Where a bullet's head is, from the left edge. */
function headPx(flight: Flight, bornMs: number, atMs: number): number {
  return WIDTH - ((atMs - bornMs) / 1_000) * flight.pxPerSecond
}

describe('lanes', () => {
  it('puts bullets that come together under one another, and the next where the first tail is inside', () => {
    const screen = lanes(3)
    const flight = { widthPx: 100, pxPerSecond: 128 }
    expect([screen.take(flight, 0), screen.take(flight, 0), screen.take(flight, 0), screen.take(flight, 0)]).toEqual([0, 1, 2, null])
    expect(screen.take(flight, 999)).toBeNull()
    expect(screen.take(flight, 1_000)).toBe(0)
  })

  it('never lets two bullets of a lane touch, whatever their lengths and speeds', () => {
    let seed = 7
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
    const screen = lanes(4)
    const last = new Map<number, { flight: Flight; bornMs: number }>()
    for (let atMs = 0; atMs < 120_000; atMs += Math.ceil(random() * 180)) {
      const flight = { widthPx: 40 + random() * 600, pxPerSecond: 60 + random() * 240 }
      const lane = screen.take(flight, atMs)
      if (lane === null) continue
      const before = last.get(lane)
      for (let look = atMs; before && look <= atMs + 20_000; look += 50) {
        const tailPx = headPx(before.flight, before.bornMs, look) + before.flight.widthPx
        const gone = tailPx <= 0 || headPx(flight, atMs, look) + flight.widthPx <= 0
        if (!gone) expect(headPx(flight, atMs, look) - tailPx).toBeGreaterThanOrEqual(-1e-6)
      }
      last.set(lane, { flight, bornMs: atMs })
    }
  })

  it('finds a place for what must be shown, in the lane that clears soonest', () => {
    const screen = lanes(2)
    screen.take({ widthPx: 500, pxPerSecond: 100 }, 0)
    screen.take({ widthPx: 100, pxPerSecond: 100 }, 0)
    expect(screen.takeAnyway({ widthPx: 100, pxPerSecond: 100 }, 0)).toBe(1)
  })

  it('keeps the bullets of the lanes that remain when the screen shrinks', () => {
    const screen = lanes(3)
    screen.take({ widthPx: 100, pxPerSecond: 100 }, 0)
    screen.resize(1, 400)
    expect(screen.take({ widthPx: 100, pxPerSecond: 100 }, 0)).toBeNull()
  })

  it('gives a standing line for its time', () => {
    const places = new Places()
    places.resize(2)
    expect([places.take(0, 4_000), places.take(0, 4_000), places.take(3_999, 4_000), places.take(4_000, 4_000)]).toEqual([0, 1, null, 0])
  })
})
