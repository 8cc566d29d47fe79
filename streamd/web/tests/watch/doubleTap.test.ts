// @vitest-environment jsdom
import { describe, expect, it } from 'vitest'

import { doubleTap } from '@/watch/doubleTap'

function tap(atMs: number, x: number, y = 10, pointerType = 'touch', target: Element = document.body): PointerEvent {
  return { timeStamp: atMs, clientX: x, clientY: y, pointerType, target } as unknown as PointerEvent
}

describe('two taps', () => {
  it('are a heart where they were, and a third tap is another', () => {
    const hearts: number[] = []
    const onTap = doubleTap((x) => hearts.push(x))
    for (const event of [tap(0, 100), tap(200, 110), tap(400, 120)]) onTap(event)
    expect(hearts).toEqual([110, 120])
  })

  it('are two single taps when they are far apart in time or place', () => {
    const hearts: number[] = []
    const onTap = doubleTap((x) => hearts.push(x))
    for (const event of [tap(0, 100), tap(400, 100), tap(600, 300)]) onTap(event)
    expect(hearts).toEqual([])
  })

  it('do not count on a button, and not by mouse', () => {
    const hearts: number[] = []
    const onTap = doubleTap((x) => hearts.push(x))
    const button = document.createElement('button')
    for (const event of [tap(0, 1, 1, 'touch', button), tap(100, 1, 1, 'touch', button)]) onTap(event)
    for (const event of [tap(200, 1, 1, 'mouse'), tap(300, 1, 1, 'mouse')]) onTap(event)
    expect(hearts).toEqual([])
  })
})
