import { describe, expect, it } from 'vitest'

import { DEFAULT_SETTINGS, keywordFilter, pxPerSecond } from '@/danmaku/settings'

describe('what the viewer chooses', () => {
  it('blocks words however they are written', () => {
    const allowed = keywordFilter(['Spoiler', '广告', '  '])
    expect(['no SPOILERS please', 'ｓｐｏｉｌｅｒ', '这是广告'].map(allowed)).toEqual([false, false, false])
    expect(allowed('hello')).toBe(true)
  })

  it('lets everything pass when nothing is blocked', () => {
    expect(keywordFilter([''])('anything')).toBe(true)
  })

  it('lets words take about as long across a phone as across a desk', () => {
    const crossing = (width: number) => (width + 120) / pxPerSecond(DEFAULT_SETTINGS, width)
    expect(crossing(390)).toBeGreaterThan(5)
    expect(crossing(1_100)).toBeLessThan(9)
    expect(pxPerSecond({ ...DEFAULT_SETTINGS, speed: 'fast' }, 800)).toBeGreaterThan(pxPerSecond(DEFAULT_SETTINGS, 800))
  })
})
