// @vitest-environment jsdom
import { beforeEach, describe, expect, it } from 'vitest'
import { nextTick } from 'vue'

import { countdown, languageOf, price, shortCount, t, tCode } from '@/i18n'
import { remembered } from '@/remembered'

describe('the viewer’s language', () => {
  beforeEach(() => {
    remembered.language = 'en'
  })

  it('is the first of the browser’s that the page speaks', () => {
    expect(languageOf(['fr-FR', 'zh-TW', 'en'])).toBe('zh')
    expect(languageOf(['en-GB', 'zh'])).toBe('en')
    expect(languageOf(['fr'])).toBe('en')
  })

  it('can be chosen, and marks the document', async () => {
    remembered.language = 'zh'
    await nextTick()
    expect(t('say.send')).toBe('发送')
    expect(document.documentElement.lang).toBe('zh-CN')
  })

  it('fills in values', () => {
    expect(t('watch.online', { count: 7 })).toBe('7 watching')
  })

  it('has words for the server’s codes, and none for others', () => {
    expect(tCode('say.refused', 'slow_mode')).toBe('Slow mode is on.')
    expect(tCode('say.refused', 'something_new')).toBeNull()
  })
})

describe('figures as people read them', () => {
  it('shortens large counts in the language’s own way', () => {
    remembered.language = 'en'
    expect([999, 9_999, 12_834, 1_250_000].map(shortCount)).toEqual(['999', '9,999', '12.8K', '1.3M'])
    remembered.language = 'zh'
    expect(shortCount(12_834)).toBe('1.3万')
  })

  it('shows prices by the currency’s own digits', () => {
    remembered.language = 'en'
    expect(price(12_800, 'CNY')).toBe('¥128.00')
    expect(price(12_800, 'JPY')).toBe('¥12,800')
    expect(price(500, 'not a currency')).toContain('5.00')
  })

  it('counts down to nothing and not below', () => {
    expect([183_000, 59_001, 0, -5, 3_723_000].map(countdown)).toEqual(['03:03', '01:00', '00:00', '00:00', '1:02:03'])
  })
})
