// @vitest-environment jsdom
import { describe, expect, it } from 'vitest'

import { waitMs } from '@/watch/useHeldCard'

const card = { seq: 1, atMs: 100_000, product: null }

describe('a card that follows the picture', () => {
  it('waits until the picture has reached its moment', () => {
    expect(waitMs(card, 98_500)).toBe(1_500)
  })

  it('is shown at once when the picture is there, or nobody knows where it is', () => {
    expect(waitMs(card, 100_001)).toBe(0)
    expect(waitMs(card, null)).toBe(0)
    expect(waitMs(null, 98_500)).toBe(0)
    expect(waitMs({ ...card, atMs: 0 }, 98_500)).toBe(0)
  })

  it('does not wait for a picture that is a programme behind', () => {
    expect(waitMs(card, 20_000)).toBe(0)
  })
})
