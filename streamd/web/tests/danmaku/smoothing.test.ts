import { describe, expect, it } from 'vitest'

import { Smoothing } from '@/danmaku/smoothing'

import { HandTimers } from '../support/handTimers'

function world() {
  const timers = new HandTimers()
  const flown: [number, number][] = []
  const smoothing = new Smoothing<number>(timers, (item) => flown.push([item, timers.nowMs()]))
  return { timers, flown, smoothing }
}

describe('smoothing of bursts', () => {
  it('spreads a tick’s messages evenly, the first at once', async () => {
    const { timers, flown, smoothing } = world()
    smoothing.add([1, 2, 3, 4], 200)
    await timers.pass(1_000)
    expect(flown).toEqual([[1, 0], [2, 50], [3, 100], [4, 150]])
  })

  it('keeps the order when the next tick comes early', async () => {
    const { timers, flown, smoothing } = world()
    smoothing.add([1, 2, 3, 4], 200)
    await timers.pass(120)
    smoothing.add([5, 6], 200)
    await timers.pass(1_000)
    expect(flown.map(([item]) => item)).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('does not fall further and further behind', async () => {
    const { timers, flown, smoothing } = world()
    for (let tick = 0; tick < 50; tick += 1) {
      smoothing.add([tick * 2, tick * 2 + 1], 200)
      await timers.pass(100)
    }
    const [, lastMs] = flown.at(-1) ?? [0, 0]
    expect(lastMs).toBeGreaterThan(4_500)
    await timers.pass(1_000)
    expect(flown).toHaveLength(100)
    expect(timers.waiting).toBe(0)
  })

  it('holds no more than it can show', async () => {
    const { timers, flown, smoothing } = world()
    smoothing.add(Array.from({ length: 5_000 }, (_, index) => index), 500)
    await timers.pass(2_000)
    expect(flown.length).toBeLessThanOrEqual(120)
    expect(flown.at(-1)?.[0]).toBe(4_999)
  })

  it('flies at once what comes tick by tick in quick succession', () => {
    const { flown, smoothing } = world()
    smoothing.add([1, 2, 3], 50)
    expect(flown).toHaveLength(3)
  })
})
