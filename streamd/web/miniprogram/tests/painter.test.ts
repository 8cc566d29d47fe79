import { describe, expect, it } from 'vitest'

import { HandTimers } from '../../tests/support/handTimers'
import { Painter } from '../src/painter'

function painting(render: () => Record<string, unknown> | null = () => ({ at: 1 })) {
  const timers = new HandTimers()
  const paintedAtMs: number[] = []
  const painter = new Painter({ render, setData: () => paintedAtMs.push(timers.nowMs()), timers })
  return { timers, paintedAtMs, painter }
}

describe('the painter', () => {
  it('sets data at most once in 200 ms at a hundred messages a second', async () => {
    const { timers, paintedAtMs, painter } = painting()
    for (let n = 0; n < 1_000; n += 1) {
      painter.touch()
      await timers.pass(10)
    }
    const gaps = paintedAtMs.slice(1).map((atMs, index) => atMs - (paintedAtMs[index] ?? 0))
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(200)
    expect(paintedAtMs.length).toBeGreaterThanOrEqual(49)
    expect(paintedAtMs.length).toBeLessThanOrEqual(51)
  })

  it('paints the first change after a rest at once and never loses the last', async () => {
    let value = 0
    const painted: number[] = []
    const timers = new HandTimers()
    const painter = new Painter({ render: () => ({ value }), setData: (patch) => painted.push(patch['value'] as number), timers })
    for (value = 1; value <= 3; value += 1) painter.touch()
    value = 3
    expect(painted).toEqual([1])
    await timers.pass(200)
    expect(painted).toEqual([1, 3])
  })

  it('sets nothing where nothing is different', async () => {
    const { paintedAtMs, painter } = painting(() => null)
    painter.touch()
    expect(paintedAtMs).toEqual([])
  })

  it('paints nothing while the page is hidden, and all of it once when it is back', async () => {
    const { timers, paintedAtMs, painter } = painting()
    painter.pause()
    for (let n = 0; n < 10; n += 1) painter.touch()
    await timers.pass(5_000)
    expect(paintedAtMs).toEqual([])
    painter.resume()
    expect(paintedAtMs).toHaveLength(1)
  })
})
