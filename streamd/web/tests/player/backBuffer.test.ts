import { describe, expect, it } from 'vitest'

import { removeUpTo } from '../../src/player/backBuffer'

describe('what was played', () => {
  it('stays for half a minute', () => {
    expect(removeUpTo({ end: 100, edge: 100, bufferStart: 60, position: 99 })).toBeNull()
    expect(removeUpTo({ end: 100, edge: 100, bufferStart: 50, position: 99 })).toBe(69)
  })

  it('goes only when there is nothing more to load', () => {
    expect(removeUpTo({ end: 99.8, edge: 100, bufferStart: 0, position: 99 })).toBeNull()
  })

  it('goes in steps, not with every part', () => {
    let bufferStart = 0
    let removals = 0
    for (let position = 0; position < 300; position += 0.2) {
      const upTo = removeUpTo({ end: position + 0.6, edge: position + 0.6, bufferStart, position })
      if (upTo === null) continue
      bufferStart = upTo
      removals += 1
    }
    expect(removals).toBeLessThan(20)
    expect(bufferStart).toBeGreaterThan(250)
  })
})
