import { describe, expect, it } from 'vitest'

import { streamAddress } from '@/player/engines/load'

describe('where a stream is found', () => {
  it('follows the page’s own origin and scheme', () => {
    expect(streamAddress('flv', 'demo', 'https://live.example', '')).toBe('https://live.example/live/demo.flv')
    expect(streamAddress('ws-flv', 'demo', 'https://live.example', '')).toBe('wss://live.example/live/demo.flv')
    expect(streamAddress('ws-flv', 'demo', 'http://127.0.0.1:8080', '')).toBe('ws://127.0.0.1:8080/live/demo.flv')
    expect(streamAddress('hls', 'demo', 'https://live.example', '')).toBe('https://live.example/live/demo/index.m3u8')
  })

  it('carries the pass of a signed room', () => {
    expect(streamAddress('hls', 'demo', '', '17-1-a-x_y')).toBe('/live/demo/index.m3u8?token=17-1-a-x_y')
  })

  it('lets no name leave its place', () => {
    expect(streamAddress('flv', '../x?y', '', '')).toBe('/live/..%2Fx%3Fy.flv')
  })
})
