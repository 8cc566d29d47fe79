import { describe, expect, it } from 'vitest'

import { Progress } from '@/player/progress'

describe('progress of the picture', () => {
  it('counts a stall once and adds up how long it lasted', () => {
    const progress = new Progress()
    progress.observe(1, true, 0)
    for (let atMs = 250; atMs <= 2_000; atMs += 250) progress.observe(1, true, atMs)
    expect(progress.stalls).toBe(1)
    expect(progress.stalledForMs(2_000)).toBe(2_000)
    progress.observe(1.2, true, 2_250)
    expect(progress.stalledForMs(2_250)).toBe(0)
    expect(progress.stallTotalMs(2_250)).toBe(2_250)
  })

  it('does not call a single late frame a stall', () => {
    const progress = new Progress()
    progress.observe(1, true, 0)
    progress.observe(1, true, 250)
    progress.observe(1.3, true, 500)
    expect(progress.stalls).toBe(0)
  })

  it('does not call a pause a stall', () => {
    const progress = new Progress()
    progress.observe(1, true, 0)
    for (let atMs = 250; atMs <= 5_000; atMs += 250) progress.observe(1, false, atMs)
    progress.observe(1, true, 5_100)
    expect(progress.stalls).toBe(0)
  })
})
