import { describe, expect, it } from 'vitest'

import { RateWindow } from '@/player/rate'

describe('rate window', () => {
  it('says nothing from too little', () => {
    const rate = new RateWindow(5_000, 1_500)
    rate.observe(0, 0)
    rate.observe(100, 1_000)
    expect(rate.perSecond).toBeNull()
  })

  it('averages what arrives in lumps', () => {
    const rate = new RateWindow(5_000, 1_500)
    for (let second = 0; second <= 20; second += 1) rate.observe(second * 250, second * 1_000)
    expect(rate.perSecond).toBe(250)
  })

  it('begins anew when the counter does', () => {
    const rate = new RateWindow(5_000, 1_000)
    rate.observe(9_000, 0)
    rate.observe(0, 500)
    rate.observe(60, 1_500)
    expect(rate.perSecond).toBe(60)
  })
})
