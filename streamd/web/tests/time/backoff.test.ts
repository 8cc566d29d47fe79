import { describe, expect, it } from 'vitest'

import { backoffMs } from '@/time/backoff'

const shape = { firstMs: 500, capMs: 4_000, jitter: 0.25 }

describe('back-off', () => {
  it('grows by half each time and stops at the cap', () => {
    const steady = [0, 1, 2, 3, 10, 1_000].map((attempt) => backoffMs(attempt, shape, () => 0.5))
    expect(steady).toEqual([500, 750, 1_125, 1_688, 4_000, 4_000])
  })

  it('spreads by the jitter and no further', () => {
    expect(backoffMs(0, shape, () => 0)).toBe(375)
    expect(backoffMs(0, shape, () => 0.999999)).toBe(625)
  })
})
