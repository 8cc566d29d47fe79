import { expect, it } from 'vitest'

import { danmaku, RoomWorld } from '../../tests/support/fakeRoom'
import { Painter, type Patch } from '../src/painter'
import { Scene } from '../src/scene'
import { wordsOf } from '../src/words'

it('lays a room of a hundred messages a second out five times a second, in small pieces', async () => {
  const world = new RoomWorld()
  const { timers, client } = world
  const scene = new Scene({
    words: wordsOf('zh'),
    widthPx: 375,
    nowMs: () => timers.nowMs(),
    utcNowMs: () => timers.nowMs(),
    pictureUrl: (path) => path,
  })
  const painted: { readonly atMs: number; readonly patch: Patch }[] = []
  const painter = new Painter({
    render: () => scene.patch(client.view()),
    setData: (patch) => painted.push({ atMs: timers.nowMs(), patch }),
    timers,
  })
  client.start()
  world.join()
  for (let tick = 0; tick < 100; tick += 1) {
    const said = Array.from({ length: 10 }, (_, n) => danmaku(100 + tick * 10 + n, `第 ${tick} 句`))
    world.channel.event('danmaku', said)
    world.channel.event('likes', { total: tick, delta: 1 })
    scene.fly(client.view().lines.flatMap((line) => (line.kind === 'danmaku' ? [line.message] : [])).slice(-10), 100)
    painter.touch()
    await timers.pass(100)
  }
  const gaps = painted.slice(1).map(({ atMs }, index) => atMs - (painted[index]?.atMs ?? 0))
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(200)
  expect(painted.length).toBeGreaterThan(40)
  expect(Math.max(...painted.map(({ patch }) => JSON.stringify(patch).length))).toBeLessThan(16_000)
})
