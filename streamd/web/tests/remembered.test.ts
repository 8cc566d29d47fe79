// @vitest-environment jsdom
import { describe, expect, it } from 'vitest'
import { nextTick } from 'vue'

import { DEFAULT_SETTINGS } from '@/danmaku/settings'
import { fitting, remembered } from '@/remembered'

const DEFAULTS = { theme: 'system', volume: 1, sound: false, danmaku: DEFAULT_SETTINGS }

describe('what the page remembers', () => {
  it('keeps what fits and replaces what does not, field by field', () => {
    const kept = {
      theme: 'purple',
      volume: 0.4,
      sound: 'yes',
      danmaku: { on: false, area: 0.3, opacity: 7, size: 'large', blocked: ['x'], extra: 1 },
    }
    expect(fitting(kept, DEFAULTS)).toEqual({
      theme: 'system',
      volume: 0.4,
      sound: false,
      danmaku: { ...DEFAULT_SETTINGS, on: false, size: 'large', blocked: ['x'] },
    })
  })

  it('begins anew from anything else', () => {
    for (const kept of [null, undefined, 3, 'x', [], { danmaku: null }, { danmaku: [1] }, { danmaku: { blocked: [1] } }]) {
      expect(fitting(kept, DEFAULTS)).toEqual(DEFAULTS)
    }
  })

  it('does not share its defaults with the page', () => {
    const one = fitting(null, DEFAULTS)
    one.danmaku.blocked.push('word')
    expect(fitting(null, DEFAULTS).danmaku.blocked).toEqual([])
  })

  it('writes every change down', async () => {
    remembered.danmaku.opacity = 0.5
    await nextTick()
    expect(JSON.parse(localStorage.getItem('streamd.page') ?? '{}')).toMatchObject({ danmaku: { opacity: 0.5 } })
  })
})
