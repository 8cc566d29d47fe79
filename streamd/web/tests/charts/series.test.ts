import { describe, expect, it } from 'vitest'

import { areaPath, linePath, scaleOf, withNext } from '@/charts/series'

const BOX = { width: 100, height: 10 }

describe('a series', () => {
  it('keeps the latest', () => {
    expect(withNext([1, 2, 3], 4, 3)).toEqual([2, 3, 4])
    expect(withNext([], null, 3)).toEqual([null])
  })
})

describe('its scale', () => {
  it('is never so narrow that noise looks like an event', () => {
    expect(scaleOf([30, 30.1], { floor: 0, least: 60 })).toEqual({ low: 0, high: 60 })
    expect(scaleOf([10, 20], { least: 50 })).toEqual({ low: -10, high: 40 })
  })

  it('of nothing is still a scale', () => {
    expect(scaleOf([], { least: 5 })).toEqual({ low: 0, high: 5 })
    expect(scaleOf([null], { least: 5 })).toEqual({ low: 0, high: 5 })
  })
})

describe('its line', () => {
  it('ends at the right edge, however short', () => {
    expect(linePath([0, 10], 5, { low: 0, high: 10 }, BOX)).toBe('M75 10L100 0')
  })

  it('breaks where nothing was known, and the surface lies under the last stretch', () => {
    const line = linePath([5, null, 5, 5], 4, { low: 0, high: 10 }, BOX)
    expect(line).toBe('M0 5M66.7 5L100 5')
    expect(areaPath(line, BOX)).toBe('M66.7 5L100 5L100 10L66.7 10Z')
    expect(areaPath('', BOX)).toBe('')
  })
})
