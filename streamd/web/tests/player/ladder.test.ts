import { describe, expect, it } from 'vitest'

import { Ladder, waysToPlay, type Capabilities } from '@/player/ladder'
import type { EngineFailure } from '@/player/model'

const desktop: Capabilities = { mediaSource: true, managedOnly: false, nativeHls: true, webSocket: true }
const iphone: Capabilities = { mediaSource: true, managedOnly: true, nativeHls: true, webSocket: true }
const oldSafari: Capabilities = { mediaSource: false, managedOnly: false, nativeHls: true, webSocket: true }
const nothing: Capabilities = { mediaSource: false, managedOnly: false, nativeHls: false, webSocket: true }

const network: EngineFailure = { kind: 'network', detail: '' }
const stall: EngineFailure = { kind: 'stall', detail: '' }
const codec: EngineFailure = { kind: 'codec', detail: '' }

describe('ways to play', () => {
  it('puts FLV first on a desktop, and native HLS last though Chromium says maybe', () => {
    expect(waysToPlay('auto', desktop)).toEqual(['flv', 'ws-flv', 'hls', 'native-hls'])
  })

  it('follows the wish for HLS and keeps FLV as the way out', () => {
    expect(waysToPlay('hls', desktop)).toEqual(['hls', 'flv', 'ws-flv', 'native-hls'])
  })

  it('lets an iPhone use its own player first', () => {
    expect(waysToPlay('auto', iphone)[0]).toBe('native-hls')
    expect(waysToPlay('flv', iphone)[0]).toBe('flv')
  })

  it('uses native HLS alone where there is no MediaSource, and nothing where there is nothing', () => {
    expect(waysToPlay('auto', oldSafari)).toEqual(['native-hls'])
    expect(waysToPlay('auto', nothing)).toEqual([])
  })
})

describe('ladder', () => {
  it('leaves at once a way that never showed a picture', () => {
    const ladder = new Ladder(['flv', 'hls'])
    ladder.fail(network, 0, 0)
    expect(ladder.current).toBe('hls')
  })

  it('gives a way that played another chance, and moves on at the second failure within a minute', () => {
    const ladder = new Ladder(['flv', 'hls'])
    ladder.fail(stall, 4_000, 10_000)
    expect(ladder.current).toBe('flv')
    ladder.fail(stall, 4_000, 40_000)
    expect(ladder.current).toBe('hls')
  })

  it('forgets old failures of a way that has proven itself', () => {
    const ladder = new Ladder(['flv', 'hls'])
    for (const atMs of [10_000, 30_000, 50_000, 70_000]) ladder.fail(stall, 18_000, atMs)
    expect(ladder.current).toBe('flv')
  })

  it('does not try again what the browser cannot decode', () => {
    const ladder = new Ladder(['flv', 'hls'])
    ladder.fail(codec, 0, 0)
    ladder.fail(network, 0, 1_000)
    expect(ladder.current).toBe('hls')
    expect(ladder.roundsFailed).toBe(1)
  })

  it('begins anew when every way has failed', () => {
    const ladder = new Ladder(['flv', 'hls'])
    ladder.fail(network, 0, 0)
    ladder.fail(network, 0, 1_000)
    expect(ladder.current).toBe('flv')
  })

  it('has no way left when none can be decoded', () => {
    const ladder = new Ladder(['flv', 'hls'])
    ladder.fail(codec, 0, 0)
    ladder.fail(codec, 0, 0)
    expect(ladder.current).toBeNull()
  })
})
