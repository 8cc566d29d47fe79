import { describe, expect, it } from 'vitest'

import { CatchUp } from '@/player/catchUp'

describe('catching up', () => {
  it('jumps over the cached group of pictures at the start', () => {
    expect(new CatchUp().decide(2_000, 0)).toEqual({ rate: 1, jumpToAheadMs: 450 })
  })

  it('does not jump for the same excess once the viewer is settled, but hurries', () => {
    expect(new CatchUp().decide(2_000, 60_000)).toEqual({ rate: 1.25, jumpToAheadMs: null })
  })

  it('jumps when a tab wakes far behind', () => {
    expect(new CatchUp().decide(9_000, 60_000).jumpToAheadMs).toBe(450)
  })

  it('hurries until the goal is reached, not only until the slack', () => {
    const pace = new CatchUp()
    expect(pace.decide(800, 60_000).rate).toBe(1.08)
    expect(pace.decide(600, 60_000).rate).toBe(1.08)
    expect(pace.decide(440, 60_000).rate).toBe(1)
    expect(pace.decide(600, 60_000).rate).toBe(1)
  })

  it('asks for less closeness after every stall, within reason', () => {
    const pace = new CatchUp()
    pace.stalled()
    expect(pace.targetMs).toBe(700)
    for (let count = 0; count < 20; count += 1) pace.stalled()
    expect(pace.targetMs).toBe(2_000)
  })

  it('reaches the goal from any lag, without ever running dry', () => {
    for (let lagMs = 0; lagMs <= 12_000; lagMs += 150) {
      const pace = new CatchUp()
      let aheadMs = lagMs
      for (let atMs = 0; atMs < 60_000; atMs += 250) {
        const { rate, jumpToAheadMs } = pace.decide(aheadMs, 5_000 + atMs)
        aheadMs = jumpToAheadMs ?? aheadMs - 250 * (rate - 1)
        expect(aheadMs).toBeGreaterThanOrEqual(Math.min(lagMs, 380))
      }
      expect(aheadMs).toBeLessThanOrEqual(700)
    }
  })
})
