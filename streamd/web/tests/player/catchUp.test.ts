import { describe, expect, it } from 'vitest'

import { CatchUp } from '@/player/catchUp'

const LATER = 60_000

describe('catching up', () => {
  it('jumps over the cached group of pictures at the start', () => {
    expect(new CatchUp().decide({ behindMs: 1_550, bufferMs: 2_000, playedMs: 0 })).toEqual({ rate: 1, skipMs: 1_550 })
  })

  it('does not jump for the same excess once the viewer is settled, but hurries', () => {
    expect(new CatchUp().decide({ behindMs: 1_550, bufferMs: 2_000, playedMs: LATER })).toEqual({ rate: 1.25, skipMs: 0 })
  })

  it('jumps when a tab wakes far behind, no further than there is something to show', () => {
    const pace = new CatchUp()
    expect(pace.decide({ behindMs: 9_000, bufferMs: 9_450, playedMs: LATER }).skipMs).toBe(9_000)
    expect(pace.decide({ behindMs: 9_000, bufferMs: 3_000, playedMs: LATER }).skipMs).toBe(2_750)
    expect(pace.decide({ behindMs: 9_000, bufferMs: 300, playedMs: LATER }).skipMs).toBe(0)
  })

  it('hurries until the goal is reached, not only until the slack', () => {
    const pace = new CatchUp()
    const rates = [350, 150, -10, 150].map((behindMs) => pace.decide({ behindMs, bufferMs: 900, playedMs: LATER }).rate)
    expect(rates).toEqual([1.08, 1.08, 1, 1])
  })

  it('does not hurry into an empty buffer', () => {
    expect(new CatchUp().decide({ behindMs: 2_000, bufferMs: 240, playedMs: LATER }).rate).toBe(1)
  })

  it('asks for less closeness after every stall, within reason, and for more after long calm', () => {
    const pace = new CatchUp()
    pace.stalled(0)
    expect(pace.patienceMs).toBe(250)
    for (let count = 0; count < 20; count += 1) pace.stalled(1_000)
    expect(pace.patienceMs).toBe(1_500)
    for (let playedMs = 1_000; playedMs < 60_000; playedMs += 250) pace.decide({ behindMs: 1_500, bufferMs: 900, playedMs })
    expect(pace.patienceMs).toBe(1_500)
    for (let playedMs = 60_000; playedMs < 380_000; playedMs += 250) pace.decide({ behindMs: 0, bufferMs: 900, playedMs })
    expect(pace.patienceMs).toBe(0)
  })

  it('reaches the goal from any lag, without ever running dry', () => {
    const goalMs = 450
    for (let lagMs = 0; lagMs <= 12_000; lagMs += 150) {
      const pace = new CatchUp()
      let aheadMs = goalMs + lagMs
      for (let atMs = 5_000; atMs < 65_000; atMs += 250) {
        const { rate, skipMs } = pace.decide({ behindMs: aheadMs - goalMs, bufferMs: aheadMs, playedMs: atMs })
        aheadMs -= skipMs + 250 * (rate - 1)
        expect(aheadMs).toBeGreaterThanOrEqual(goalMs - 70)
      }
      expect(aheadMs).toBeLessThanOrEqual(goalMs + 200)
    }
  })
})
