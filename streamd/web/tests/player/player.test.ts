import { describe, expect, it } from 'vitest'

import { PlayerWorld } from '../support/playerWorld'

async function playing(ways?: ConstructorParameters<typeof PlayerWorld>[0]): Promise<PlayerWorld> {
  const world = new PlayerWorld(ways)
  world.player.start()
  await world.play(10_000)
  expect(world.phase).toBe('playing')
  return world
}

describe('starting', () => {
  it('plays the first way without waiting for the server to say live', async () => {
    const world = new PlayerWorld()
    world.server('away') // the answer comes last
    world.player.start()
    await world.play(500)
    expect(world.phase).toBe('playing')
    expect(world.engines).toHaveLength(1)
    expect(world.engine.mode).toBe('flv')
  })

  it('measures the first frame from the opening of the page', async () => {
    const world = await playing()
    expect(world.player.figures().firstFrameMs).toBe(0)
    expect(world.player.figures().stalls).toBe(0)
  })

  it('shows "not live yet" and begins by itself when the show does', async () => {
    const world = new PlayerWorld()
    world.onStart = 'not-found'
    world.server('offline')
    world.player.start()
    await world.wait(20_000)
    expect(world.phase).toBe('offline')
    expect(world.engines).toHaveLength(1)
    world.onStart = 'picture'
    world.server('live')
    await world.wait(11_000)
    await world.play(1_000)
    expect(world.phase).toBe('playing')
  })

  it('shows an unknown room as such', async () => {
    const world = new PlayerWorld()
    world.onStart = 'not-found'
    world.server('unknown')
    world.player.start()
    await world.wait(1_000)
    expect(world.phase).toBe('unknown-room')
  })

  it('shows that a signed room wants a good link, and does not hammer it', async () => {
    const world = new PlayerWorld()
    world.onStart = 'forbidden'
    world.player.start()
    await world.wait(120_000)
    expect(world.phase).toBe('forbidden')
    expect(world.engines.length).toBeLessThan(6)
    world.onStart = 'picture'
    world.player.nudge()
    await world.play(500)
    expect(world.phase).toBe('playing')
  })

  it('keeps asking for a stream that is live but whose first part is not written yet', async () => {
    const world = new PlayerWorld(['hls', 'flv'])
    world.onStart = 'not-found'
    world.player.start()
    await world.wait(1_500)
    expect(new Set(world.engines.map((engine) => engine.mode))).toEqual(new Set(['hls']))
    world.onStart = 'picture'
    await world.play(3_000)
    expect(world.phase).toBe('playing')
    expect(world.engine.mode).toBe('hls')
  })

  it('says unsupported when the browser can play nothing', () => {
    const world = new PlayerWorld([])
    world.player.start()
    expect(world.phase).toBe('unsupported')
  })

  it('says unsupported when no way can decode this stream', async () => {
    const world = new PlayerWorld(['flv', 'hls'])
    world.onStart = 'codec'
    world.player.start()
    await world.wait(10_000)
    expect(world.engines.map((engine) => engine.mode)).toEqual(['flv', 'hls'])
    expect(world.phase).toBe('unsupported')
    expect(world.engine.stopped).toBe(true)
  })
})

describe('sound', () => {
  it('starts muted where the browser refuses sound', async () => {
    const world = new PlayerWorld(undefined, { muted: false, volume: 0.8 })
    world.video.autoplay = 'muted-only'
    world.player.start()
    await world.play(500)
    expect(world.phase).toBe('playing')
    expect(world.player.snapshot().muted).toBe(true)
    world.player.setSound({ muted: false, volume: 0.8 })
    expect(world.player.snapshot()).toMatchObject({ muted: false, volume: 0.8 })
  })

  it('asks for a tap where the browser refuses everything, and goes on after it', async () => {
    const world = new PlayerWorld()
    world.video.autoplay = 'refused'
    world.player.start()
    await world.wait(30_000)
    expect(world.phase).toBe('blocked')
    expect(world.engines).toHaveLength(1)
    world.video.autoplay = 'allowed'
    world.player.resume()
    await world.play(1_000)
    expect(world.phase).toBe('playing')
  })
})

describe('falling back', () => {
  it('goes to the next way when the first shows no picture in time', async () => {
    const world = new PlayerWorld()
    world.onStart = 'nothing'
    world.player.start()
    await world.wait(6_600)
    expect(world.engines.map((engine) => engine.mode)).toEqual(['flv', 'hls'])
    expect(world.engines[0]?.stopped).toBe(true)
    expect(world.snapshot?.lastFailure).toMatchObject({ kind: 'no-picture', mode: 'flv' })
  })

  it('goes to the next way when its code cannot be fetched', async () => {
    const world = new PlayerWorld()
    world.missingChunk = 'flv'
    world.player.start()
    await world.play(500)
    expect(world.engine.mode).toBe('hls')
    expect(world.phase).toBe('playing')
  })

  it('starts the same way again after one stall, the next after a second', async () => {
    const world = await playing()
    await world.wait(5_200)
    await world.play(1_000)
    expect(world.engines.map((engine) => engine.mode)).toEqual(['flv', 'flv'])
    expect(world.player.figures().stalls).toBe(1)
    await world.wait(5_200)
    await world.play(1_000)
    expect(world.engines.map((engine) => engine.mode)).toEqual(['flv', 'flv', 'hls'])
    expect(world.phase).toBe('playing')
  })

  it('asks early in a stall whether the host is still there, once', async () => {
    const world = await playing()
    world.server('paused')
    await world.wait(1_800)
    expect(world.phase).toBe('interrupted')
    expect(world.engine.stopped).toBe(false)
    const still = await playing()
    await still.wait(3_500)
    expect(still.phase).toBe('buffering')
    expect(still.asked).toBe(2)
  })

  it('tells of a short stall and of its end, and lets the engine know', async () => {
    const world = await playing()
    await world.wait(1_500)
    expect(world.phase).toBe('buffering')
    expect(world.engine.stalledCount).toBe(1)
    await world.play(500)
    expect(world.phase).toBe('playing')
    expect(world.engines).toHaveLength(1)
  })

  it('slows down when every way fails at once', async () => {
    const world = new PlayerWorld(['flv', 'hls'])
    world.onStart = 'network'
    world.player.start()
    await world.wait(60_000)
    expect(world.engines.length).toBeLessThan(22)
    expect(world.engines.length).toBeGreaterThan(8)
  })

  it('changes the way at the viewer’s wish', async () => {
    const world = await playing()
    world.player.setWays(['hls', 'flv'])
    await world.play(500)
    expect(world.engine.mode).toBe('hls')
    expect(world.framesLost).toBe(1)
  })
})

describe('when the stream stops', () => {
  it('says ended when it ended in good order, and plays again when the show resumes', async () => {
    const world = await playing()
    world.server('offline')
    world.engine.fail('end-of-stream')
    await world.wait(500)
    expect(world.phase).toBe('ended')
    world.server('live')
    await world.wait(31_000)
    await world.play(500)
    expect(world.phase).toBe('playing')
  })

  it('keeps the last frame while the host reconnects, and returns within seconds', async () => {
    const world = await playing()
    world.server('paused')
    world.engine.fail('end-of-stream')
    await world.wait(8_000)
    expect(world.phase).toBe('interrupted')
    expect(world.snapshot?.hasPicture).toBe(true)
    expect(world.engine.stopped).toBe(false)
    world.server('live')
    await world.wait(3_200)
    await world.play(500)
    expect(world.phase).toBe('playing')
    expect(world.engines).toHaveLength(2)
  })

  it('lets an engine that still loads go on by itself when the host is back', async () => {
    const world = await playing()
    world.server('paused')
    await world.wait(7_000)
    expect(world.phase).toBe('interrupted')
    world.server('live')
    await world.play(4_000)
    expect(world.phase).toBe('playing')
    expect(world.engines).toHaveLength(1)
  })

  it('starts anew when the stream is live again and the old engine does not notice', async () => {
    const world = await playing()
    world.server('paused')
    await world.wait(7_000)
    world.server('live')
    await world.wait(4_500)
    await world.play(500)
    expect(world.engines).toHaveLength(2)
    expect(world.phase).toBe('playing')
  })

  it('comes back within five seconds of a restarted server’s return', async () => {
    const world = await playing()
    world.server('away')
    world.engine.fail('network')
    await world.wait(20_000)
    expect(world.phase).toBe('lost')
    expect(world.snapshot?.retryAtMs).not.toBeNull()
    world.server('offline') // it is back, its encoders are not
    await world.wait(4_500)
    expect(world.phase).toBe('interrupted')
    world.server('live')
    await world.wait(2_600)
    await world.play(500)
    expect(world.phase).toBe('playing')
    expect(world.phases).not.toContain('ended')
  })

  it('reconnects at once when the server dropped a slow viewer', async () => {
    const world = await playing()
    world.engine.fail('end-of-stream')
    await world.play(500)
    expect(world.phase).toBe('playing')
    expect(world.engines).toHaveLength(2)
  })

  it('looks at once when told that the network is back', async () => {
    const world = await playing()
    world.server('away')
    world.engine.fail('network')
    await world.wait(60_000)
    world.server('live')
    world.player.nudge()
    await world.play(250)
    expect(world.phase).toBe('playing')
  })
})

describe('the viewer and the device', () => {
  it('pauses, lets the engine go after a while, and resumes at the newest picture', async () => {
    const world = await playing()
    world.player.pause()
    expect(world.phase).toBe('paused')
    await world.wait(11_000)
    expect(world.engine.stopped).toBe(true)
    world.player.resume()
    await world.play(500)
    expect(world.phase).toBe('playing')
    expect(world.engines).toHaveLength(2)
  })

  it('resumes a short pause with the same engine', async () => {
    const world = await playing()
    world.player.pause()
    await world.wait(3_000)
    world.player.resume()
    await world.play(500)
    expect(world.engines).toHaveLength(1)
    expect(world.engine.toLiveCount).toBe(1)
    expect(world.phase).toBe('playing')
  })

  it('takes a media key for a pause', async () => {
    const world = await playing()
    world.video.pause()
    expect(world.phase).toBe('paused')
  })

  it('does not take a failed decoder for a pause', async () => {
    const world = await playing()
    world.video.error = { message: 'decode error' }
    world.video.pause()
    world.engine.fail('media')
    world.video.error = null
    await world.play(500)
    expect(world.phase).toBe('playing')
    expect(world.engines).toHaveLength(2)
  })

  it('does not take for a stall what a hidden tab does', async () => {
    const world = await playing()
    world.hidden = true
    world.video.pause()
    await world.wait(60_000)
    expect(world.phase).toBe('playing')
    world.hidden = false
    world.player.shown()
    await world.play(1_000)
    expect(world.phase).toBe('playing')
    expect(world.engines).toHaveLength(1)
    expect(world.player.figures().stalls).toBe(0)
  })

  it('does not take a sleeping device for a stall', async () => {
    const world = await playing()
    world.timers.sleep(600_000)
    await world.wait(250)
    await world.play(1_000)
    expect(world.engine.toLiveCount).toBe(1)
    expect(world.engines).toHaveLength(1)
    expect(world.player.figures().stalls).toBe(0)
  })

  it('leaves nothing behind when it stops', async () => {
    const world = await playing()
    world.player.stop()
    await world.wait(60_000)
    expect(world.timers.waiting).toBe(0)
    expect(world.engine.stopped).toBe(true)
    expect(world.asked).toBe(1)
  })
})
