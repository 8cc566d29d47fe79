import { describe, expect, it } from 'vitest'

import { danmaku, RoomWorld } from '../support/fakeRoom'

function joined(welcome: Record<string, unknown> = {}): RoomWorld {
  const world = new RoomWorld()
  world.client.start()
  world.join(welcome)
  expect(world.client.view().link).toBe('joined')
  return world
}

describe('joining', () => {
  it('names the room, and the person when there is a token', () => {
    expect(joined().channel.auth).toEqual({ room: 'demo' })
    const world = new RoomWorld()
    world.token = 'secret'
    world.client.start()
    world.join()
    expect(world.channel.auth).toEqual({ room: 'demo', token: 'secret' })
  })

  it('answers the heartbeat, and notices a server that fell silent', async () => {
    const world = joined()
    world.channel.say('2')
    expect(world.channel.sent.at(-1)).toBe('3')
    await world.timers.pass(44_000)
    expect(world.client.view().link).toBe('joined')
    await world.timers.pass(1_100)
    expect(world.client.view().link).toBe('away')
    expect(world.channels[0]?.closed).toBe(true)
  })

  it('gives up a handshake that is never answered, and tries again', async () => {
    const world = new RoomWorld()
    world.client.start()
    await world.timers.pass(10_800)
    expect(world.channels).toHaveLength(2)
  })

  it('stops trying when the room does not exist', async () => {
    const world = new RoomWorld()
    world.client.start()
    world.channel.say('0{"pingInterval":25000,"pingTimeout":20000}')
    world.channel.say('44{"message":"no such room","data":{"code":"room_not_found","fix":"check the address"}}')
    await world.timers.pass(600_000)
    expect(world.client.view()).toMatchObject({ link: 'refused', refusal: { code: 'room_not_found' } })
    expect(world.channels).toHaveLength(1)
  })

  it('waits as long as a busy server asks', async () => {
    const world = new RoomWorld()
    world.client.start()
    world.channel.say('0{"pingInterval":25000,"pingTimeout":20000}')
    world.channel.say('44{"message":"busy","data":{"code":"busy","retry_after_ms":7000}}')
    await world.timers.pass(6_900)
    expect(world.channels).toHaveLength(1)
    await world.timers.pass(200)
    expect(world.channels).toHaveLength(2)
  })
})

describe('being somebody', () => {
  it('gets another token when the server does not take the old one', async () => {
    const world = new RoomWorld()
    world.token = 'old'
    world.nextToken = 'new'
    world.client.start()
    world.channel.say('0{"pingInterval":25000,"pingTimeout":20000}')
    world.channel.say('44{"message":"no","data":{"code":"unauthenticated","fix":"sign in"}}')
    await world.timers.pass(1_000)
    expect(world.renewals).toBe(1)
    world.join()
    expect(world.channel.auth['token']).toBe('new')
    expect(world.client.view().link).toBe('joined')
  })

  it('joins again, where it was, as who has just signed in', async () => {
    const world = joined()
    world.channel.event('danmaku', [danmaku(11)])
    world.token = 'mine'
    world.client.rejoin()
    expect(world.channels).toHaveLength(2)
    world.join({ recovered: true })
    expect(world.channel.auth).toEqual({ room: 'demo', token: 'mine', resume: { epoch: 'e1', seq: 11 } })
    expect(world.channels[0]?.closed).toBe(true)
    await world.timers.pass(5_000)
    expect(world.channels).toHaveLength(2)
  })
})

describe('being put out', () => {
  it('stays away from a room that banned it, and returns when a ban has a near end', async () => {
    for (const [retryAfterMs, channels] of [[undefined, 1], [60_000, 2]] as const) {
      const world = new RoomWorld()
      world.client.start()
      world.channel.say('0{"pingInterval":25000,"pingTimeout":20000}')
      const data = { code: 'banned', fix: 'ask the host', retry_after_ms: retryAfterMs }
      world.channel.say(`44${JSON.stringify({ message: 'enough', data })}`)
      await world.timers.pass(61_000)
      expect(world.channels).toHaveLength(channels)
    }
  })
})

describe('returning', () => {
  it('resumes where it left off, and again', async () => {
    const world = joined()
    world.channel.event('danmaku', [danmaku(11), danmaku(12)])
    for (const seq of [12, 14]) {
      world.channel.events.onClose()
      await world.timers.pass(1_000)
      world.join({ recovered: true, seq: 99 })
      expect(world.channel.auth['resume']).toEqual({ epoch: 'e1', seq })
      world.channel.event('danmaku', [danmaku(seq + 1), danmaku(seq + 2)])
    }
    expect(world.bullets.map((bullet) => bullet.seq)).toEqual([11, 12, 13, 14, 15, 16])
  })

  it('resumes after it was stopped, by one connection however often it is started', () => {
    const world = joined()
    world.channel.event('danmaku', [danmaku(11)])
    world.client.stop()
    expect(world.channels[0]?.closed).toBe(true)
    world.client.start()
    world.client.start()
    expect(world.channels).toHaveLength(2)
    expect(world.client.view().link).toBe('away')
    world.join({ recovered: true, seq: 11 })
    expect(world.channel.auth['resume']).toEqual({ epoch: 'e1', seq: 11 })
    expect(world.client.view().link).toBe('joined')
  })

  it('tries less and less often, and at once when the network is back', async () => {
    const world = joined()
    const refuse = () => world.channel.events.onClose()
    refuse()
    for (let minute = 0; minute < 60; minute += 1) {
      await world.timers.pass(1_000)
      if (!world.channel.closed) refuse()
    }
    const tries = world.channels.length
    expect(tries).toBeGreaterThan(6)
    expect(tries).toBeLessThan(16)
    world.client.nudge()
    expect(world.channels.length).toBe(tries + 1)
  })

  it('finds out within seconds that a socket did not survive a change of network', async () => {
    const world = joined()
    world.client.nudge()
    await world.timers.pass(4_900)
    expect(world.channels).toHaveLength(1)
    await world.timers.pass(1_000)
    expect(world.client.view().link).toBe('away')
    expect(world.channels).toHaveLength(2)
    expect(world.channels[0]?.closed).toBe(true)
  })

  it('keeps a socket that did survive, hears what was missed in asking, and asks seldom', async () => {
    const world = joined()
    world.client.nudge()
    world.client.nudge()
    const asked = world.channel.emitted.filter(({ name }) => name === 'sync')
    expect(asked.map(({ payload }) => payload)).toEqual([{ epoch: 'e1', seq: 10 }])
    world.channel.ack(asked[0]?.ackId ?? -1, { ok: true, recovered: true, events: [['danmaku', [danmaku(11, 'missed')]]] })
    await world.timers.pass(20_000)
    expect(world.texts()).toContain('missed')
    expect(world.channels).toHaveLength(1)
  })

  it('leaves nothing behind when it stops', async () => {
    const world = joined()
    const said = world.client.say('bye')
    world.client.like()
    world.client.stop()
    await said
    await world.timers.pass(100_000)
    expect(world.timers.waiting).toBe(0)
    expect(world.channels).toHaveLength(1)
    expect(world.channel.sent.at(-1)).toBe('41')
  })
})

describe('speaking', () => {
  it('shows one’s own words at once and settles them with the server’s answer', async () => {
    const world = joined()
    const said = world.client.say('hello', { color: '#ff0000' })
    expect(world.texts()).toEqual(['hello'])
    const [sent] = world.channel.emitted
    expect(sent).toMatchObject({ name: 'danmaku', payload: { text: 'hello', color: '#ff0000' } })
    world.channel.ack(sent?.ackId ?? -1, { ok: true, seq: 11 })
    expect(await said).toBeNull()
    expect(world.client.view().lines[0]).toMatchObject({ status: 'shown', own: true })
  })

  it('gives the reason of a refusal, and when to try again', async () => {
    const world = joined()
    const said = world.client.say('hello')
    const refusal = { ok: false, code: 'slow_mode', message: 'Slow mode is on', retry_after_ms: 3_000 }
    world.channel.ack(world.channel.emitted[0]?.ackId ?? -1, refusal)
    expect(await said).toEqual({ code: 'slow_mode', message: 'Slow mode is on', retryAfterMs: 3_000 })
    expect(world.own).toEqual(['hello'])
    expect(world.retracted).toEqual([world.channel.emitted[0]?.payload['id']])
  })

  it('sends again under the same id when the connection broke before the answer', async () => {
    const world = joined()
    const said = world.client.say('hello')
    const first = world.channel.emitted[0]
    world.channel.events.onClose()
    await world.timers.pass(1_000)
    world.join({ recovered: true })
    await world.timers.pass(0)
    const second = world.channel.emitted[0]
    expect(second?.payload).toEqual(first?.payload)
    world.channel.ack(second?.ackId ?? -1, { ok: true, seq: 11 })
    expect(await said).toBeNull()
  })

  it('asks again for a message whose number is on its way', async () => {
    const world = joined()
    const said = world.client.say('hello')
    world.channel.ack(0, { ok: false, code: 'pending', message: 'on its way', retry_after_ms: 500 })
    await world.timers.pass(600)
    world.channel.ack(1, { ok: true, seq: 11 })
    expect(await said).toBeNull()
    expect(new Set(world.channel.emitted.map((event) => event.payload['id'])).size).toBe(1)
  })

  it('gives a message back that could not be delivered', async () => {
    const world = joined()
    world.channel.events.onClose()
    const said = world.client.say('hello')
    await world.timers.pass(16_000)
    expect(await said).toMatchObject({ code: 'not_delivered' })
    expect(world.client.view().lines[0]).toMatchObject({ status: 'refused' })
  })
})

describe('hearts and gaps', () => {
  it('sends hearts once a second', async () => {
    const world = joined()
    for (let tap = 0; tap < 9; tap += 1) world.client.like()
    await world.timers.pass(1_000)
    expect(world.channel.emitted).toMatchObject([{ name: 'like', payload: { count: 9 } }])
    await world.timers.pass(5_000)
    expect(world.channel.emitted).toHaveLength(1)
  })

  it('tells of the hearts of others', () => {
    const world = joined()
    world.channel.event('likes', { total: 130, delta: 30 })
    expect(world.likes).toBe(30)
    expect(world.client.view().likes).toBe(130)
  })

  it('fetches what a slow reader must not miss, and lets nothing old fly', async () => {
    const world = joined()
    world.channel.event('danmaku', [danmaku(11)])
    world.channel.event('gap', { from_seq: 12, to_seq: 16, dropped: { A: 1, C: 2 } })
    expect(world.channel.emitted).toMatchObject([{ name: 'sync', payload: { epoch: 'e1', seq: 11 } }])
    await world.timers.pass(9_000)
    const old = { ...danmaku(12, 'late'), at_ms: 1 }
    const events = [['danmaku', [danmaku(11), old]], ['order', { seq: 13, buyer: 'A***e', product_id: 'p', count: 1 }]]
    world.channel.ack(0, { ok: true, recovered: true, epoch: 'e1', seq: 16, events })
    await world.timers.pass(0)
    expect(world.texts()).toEqual(['message 11', '<skipped>', 'late', '<order>'])
    expect(world.bullets.map((bullet) => bullet.seq)).toEqual([11])
  })

  it('lets go what was left out of the chat', async () => {
    const world = joined()
    world.channel.event('gap', { from_seq: 11, to_seq: 15, dropped: { C: 4 } })
    await world.timers.pass(100)
    expect(world.channel.emitted).toEqual([])
    expect(world.texts()).toEqual(['<skipped>'])
  })
})
