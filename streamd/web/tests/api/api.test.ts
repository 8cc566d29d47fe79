import { describe, expect, it } from 'vitest'

import { browserExchange } from '@/api/browserExchange'
import { fetchRooms } from '@/api/rooms'
import { fetchPresence } from '@/api/stream'
import { ServerClock } from '@/time/serverClock'

function answering(status: number, body: unknown, headers: Record<string, string> = {}) {
  const clock = new ServerClock(() => 0)
  const answer = typeof body === 'string' ? body : JSON.stringify(body)
  return { clock, exchange: browserExchange(() => Promise.resolve(new Response(answer, { status, headers }))) }
}

const failing = { clock: new ServerClock(), exchange: browserExchange(() => Promise.reject(new TypeError('Failed to fetch'))) }

describe('is the room on air', () => {
  it('reads what the server says of a stream', async () => {
    const warning = { code: 'long_gop', level: 'info', message: 'key frames every 10 s', message_zh: '关键帧间隔' }
    const body = {
      state: 'on_air',
      video: { codec: 'h264', width: 1280, height: 720, fps: 30 },
      audio: { codec: 'aac' },
      bitrate_bps: 1_411_456,
      warnings: [warning],
    }
    const presence = await fetchPresence('demo', answering(200, body))
    expect(presence).toMatchObject({
      kind: 'known',
      status: { state: 'live', bitrateBps: 1_411_456, warnings: [{ en: 'key frames every 10 s', zh: '关键帧间隔' }] },
    })
  })

  it('reads a room without a stream, and one whose encoder has gone for a moment', async () => {
    const offline = await fetchPresence('demo', answering(200, { state: 'offline', on_air: false, video: null, audio: null }))
    expect(offline).toMatchObject({ kind: 'known', status: { state: 'offline', video: { codec: '', width: null } } })
    expect(await fetchPresence('demo', answering(200, { state: 'paused' }))).toMatchObject({ status: { state: 'paused' } })
  })

  it('tells an unknown room from a server that would not say and from silence', async () => {
    expect(await fetchPresence('x', answering(404, { code: 'room_unknown' }))).toEqual({ kind: 'unknown-room' })
    expect(await fetchPresence('x', answering(403, {}))).toEqual({ kind: 'unsaid', httpStatus: 403 })
    expect(await fetchPresence('x', answering(200, 'not json'))).toEqual({ kind: 'unsaid', httpStatus: 200 })
    expect(await fetchPresence('x', answering(502, '<html>bad gateway'))).toEqual({ kind: 'unreachable' })
    expect(await fetchPresence('x', failing)).toEqual({ kind: 'unreachable' })
  })

  it('sets the clock by an exact stamp, else by the Date header, never by a cached one', async () => {
    const exact = answering(200, { state: 'offline', server_time_ms: Date.now() + 60_000 })
    await fetchPresence('x', exact)
    expect(Math.abs(exact.clock.offsetMs - 60_000)).toBeLessThan(1_000)
    const byDate = answering(200, {}, { Date: new Date(Date.now() + 3_600_000).toUTCString() })
    await fetchPresence('x', byDate)
    expect(Math.abs(byDate.clock.offsetMs - 3_600_000)).toBeLessThan(2_100)
    const cached = answering(200, {}, { Date: new Date(0).toUTCString(), Age: '30' })
    await fetchPresence('x', cached)
    expect(cached.clock.offsetMs).toBe(0)
  })
})

describe('rooms on air', () => {
  it('reads the list and leaves out what has no name', async () => {
    const items = [{ room: 'demo', title: 'Tea', on_air: true, cover: '/live/demo/cover.jpg', owner: 'lin' }, { title: 'x' }, null]
    const found = await fetchRooms(answering(200, { items, next_cursor: null }))
    expect(found).toEqual({
      kind: 'rooms',
      rooms: [{ room: 'demo', title: 'Tea', host: 'lin', onAir: true, cover: '/live/demo/cover.jpg', startsAtMs: null }],
    })
  })

  it('uses no picture of another host', async () => {
    const items = ['https://e.example/x.jpg', '//e.example/x.jpg', 7].map((cover) => ({ room: 'demo', cover }))
    const found = await fetchRooms(answering(200, { items }))
    expect(found.kind === 'rooms' && found.rooms.map((room) => room.cover)).toEqual(['', '', ''])
  })

  it('bears a server without such a list', async () => {
    expect(await fetchRooms(answering(404, {}))).toEqual({ kind: 'rooms', rooms: [] })
    expect(await fetchRooms(failing)).toEqual({ kind: 'unreachable' })
  })
})
