import { describe, expect, it } from 'vitest'

import { connectPacket, eventPacket, readPacket } from '@/room/socket/packets'

describe('packets of a stock Socket.IO server', () => {
  it('reads the handshake and its heartbeat', () => {
    const open = '0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
    expect(readPacket(open)).toEqual({ type: 'open', pingIntervalMs: 25_000, pingTimeoutMs: 20_000 })
    expect(readPacket('2')).toEqual({ type: 'ping' })
    expect(readPacket('40{"sid":"wZX3oN0bSVIhsaknAAAI"}')).toEqual({ type: 'connected' })
  })

  it('reads events with and without an acknowledgement id', () => {
    expect(readPacket('42["hey","Jude"]')).toEqual({ type: 'event', name: 'hey', payload: 'Jude', ackId: null })
    expect(readPacket('4212["hey",{"a":[1]}]')).toMatchObject({ type: 'event', ackId: 12, payload: { a: [1] } })
    expect(readPacket('42["hey"]')).toMatchObject({ type: 'event', payload: undefined })
  })

  it('reads acknowledgements, refusals and goodbyes', () => {
    expect(readPacket('437[{"ok":true}]')).toEqual({ type: 'ack', ackId: 7, payload: { ok: true } })
    expect(readPacket('430[]')).toEqual({ type: 'ack', ackId: 0, payload: undefined })
    const refused = '44{"message":"no such room","data":{"code":"unknown_room"}}'
    expect(readPacket(refused)).toEqual({ type: 'refused', message: 'no such room', data: { code: 'unknown_room' } })
    expect(readPacket('44"not authorized"')).toMatchObject({ type: 'refused', message: 'not authorized' })
    expect(readPacket('41')).toEqual({ type: 'closed' })
    expect(readPacket('1')).toEqual({ type: 'closed' })
  })

  it('lets pass what it need not understand', () => {
    for (const text of ['3', '6', '', '4', '42', '42{', '42[1]', '42/admin,["x"]', '451-["x"]', '0nonsense', '43["x"]', '49', 'é']) {
      expect(readPacket(text)).toEqual({ type: 'other' })
    }
  })

  it('writes what a stock server reads', () => {
    expect(connectPacket({ room: 'demo' })).toBe('40{"room":"demo"}')
    expect(eventPacket('like', { count: 3 }, 5)).toBe('425["like",{"count":3}]')
  })
})
