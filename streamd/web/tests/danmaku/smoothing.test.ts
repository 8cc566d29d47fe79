import { describe, expect, it } from 'vitest'

import { Smoothing } from '@/danmaku/smoothing'

describe('smoothing of bursts', () => {
  it('spreads a tick’s messages evenly, the first at once', () => {
    expect(new Smoothing().delays(4, 200, 1_000)).toEqual([0, 50, 100, 150])
  })

  it('goes on behind a tick that is still on its way', () => {
    const smoothing = new Smoothing()
    smoothing.delays(4, 200, 0)
    expect(smoothing.delays(2, 200, 120)).toEqual([80, 180])
  })

  it('does not fall further and further behind when ticks come early', () => {
    const smoothing = new Smoothing()
    for (let tick = 0; tick < 50; tick += 1) {
      const delays = smoothing.delays(2, 200, tick * 100)
      expect(Math.max(...delays)).toBeLessThanOrEqual(300)
    }
  })

  it('begins at once after a silence', () => {
    const smoothing = new Smoothing()
    smoothing.delays(9, 500, 0)
    expect(smoothing.delays(1, 100, 5_000)).toEqual([0])
  })
})
