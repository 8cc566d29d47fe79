import { describe, expect, it } from 'vitest'

import { ServerClock } from '@/time/serverClock'

/** A device whose clock is behind the server's by `aheadMs`, asking at `atMs`. */
function dateHeader(aheadMs: number, atMs: number, tripMs: number) {
  const stampedMs = atMs + tripMs / 2 + aheadMs
  return { sentAtMs: atMs, receivedAtMs: atMs + tripMs, serverMs: Math.floor(stampedMs / 1_000) * 1_000, resolutionMs: 1_000 }
}

describe('server clock', () => {
  it('trusts the device until the server has spoken', () => {
    const clock = new ServerClock(() => 5_000)
    expect(clock.nowMs()).toBe(5_000)
    expect(clock.uncertaintyMs).toBe(Infinity)
  })

  it('leaves a device alone that agrees with the Date header', () => {
    const clock = new ServerClock(() => 0)
    clock.observe(dateHeader(0, 10_400, 30))
    expect(clock.offsetMs).toBe(0)
  })

  it('sharpens with every answer', () => {
    const clock = new ServerClock(() => 0)
    for (let asked = 0; asked < 20; asked += 1) clock.observe(dateHeader(7_300, 100_000 + asked * 1_370, 40))
    expect(Math.abs(clock.offsetMs - 7_300)).toBeLessThan(120)
    expect(clock.uncertaintyMs).toBeLessThan(200)
  })

  it('knows the offset at once from an exact stamp', () => {
    const clock = new ServerClock(() => 1_000)
    clock.observe({ sentAtMs: 1_000, receivedAtMs: 1_020, serverMs: 61_010, resolutionMs: 1 })
    expect(Math.abs(clock.offsetMs - 60_000)).toBeLessThanOrEqual(11)
  })

  it('begins anew when a clock was set', () => {
    const clock = new ServerClock(() => 0)
    clock.observe({ sentAtMs: 0, receivedAtMs: 10, serverMs: 50_000, resolutionMs: 1 })
    clock.observe({ sentAtMs: 0, receivedAtMs: 10, serverMs: 5, resolutionMs: 1 })
    expect(clock.offsetMs).toBe(0)
  })

  it('ignores an answer during which the device clock went back', () => {
    const clock = new ServerClock(() => 0)
    clock.observe({ sentAtMs: 9_000, receivedAtMs: 1_000, serverMs: 5_000, resolutionMs: 1 })
    expect(clock.uncertaintyMs).toBe(Infinity)
  })
})
