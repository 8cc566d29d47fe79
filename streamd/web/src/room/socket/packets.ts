/**
 * Engine.IO 4 and Socket.IO 5 packets as text, on the namespace `/`.
 *
 * Promise: pure; what a stock server sends is read, what it would not understand is never written. Binary attachments,
 * other namespaces and the polling transport are not here: the rooms need none of them. Sources: Engine.IO protocol v4,
 * Socket.IO protocol v5.
 */
export type Packet =
  /** The transport is open; the server names its heartbeat. */
  | { readonly type: 'open'; readonly pingIntervalMs: number; readonly pingTimeoutMs: number }
  | { readonly type: 'ping' }
  | { readonly type: 'connected' }
  | { readonly type: 'refused'; readonly message: string; readonly data: unknown }
  | { readonly type: 'event'; readonly name: string; readonly payload: unknown; readonly ackId: number | null }
  | { readonly type: 'ack'; readonly ackId: number; readonly payload: unknown }
  /** The server ends the session: the namespace was left or the transport is closing. */
  | { readonly type: 'closed' }
  /** Allowed and of no interest: pong, noop, another namespace's packets. */
  | { readonly type: 'other' }

export const PONG = '3'
export const DISCONNECT = '41'

const MALFORMED: Packet = { type: 'other' }
/** What stock servers use when a field is missing. */
const DEFAULT_PING_INTERVAL_MS = 25_000
const DEFAULT_PING_TIMEOUT_MS = 20_000

export function connectPacket(auth: unknown): string {
  return `40${JSON.stringify(auth)}`
}

export function eventPacket(name: string, payload: unknown, ackId: number): string {
  return `42${ackId}${JSON.stringify([name, payload])}`
}

/** Reads one WebSocket text message. Never throws: a packet that cannot be read is `other`. */
export function readPacket(message: string): Packet {
  switch (message[0]) {
    case '0':
      return readOpen(message)
    case '1':
      return { type: 'closed' }
    case '2':
      return { type: 'ping' }
    case '4':
      return readSocketPacket(message)
    default:
      return MALFORMED
  }
}

function readOpen(message: string): Packet {
  const said = parse(message.slice(1))
  if (typeof said !== 'object' || said === null) return MALFORMED
  const { pingInterval, pingTimeout } = said as { pingInterval?: unknown; pingTimeout?: unknown }
  return {
    type: 'open',
    pingIntervalMs: typeof pingInterval === 'number' ? pingInterval : DEFAULT_PING_INTERVAL_MS,
    pingTimeoutMs: typeof pingTimeout === 'number' ? pingTimeout : DEFAULT_PING_TIMEOUT_MS,
  }
}

function readSocketPacket(message: string): Packet {
  const head = /^4([0-6])(\d{0,9})(?=[[{"]|$)/.exec(message)
  if (!head) return MALFORMED
  const body = parse(message.slice(head[0].length))
  const ackId = head[2] ? Number(head[2]) : null
  switch (head[1]) {
    case '0':
      return { type: 'connected' }
    case '1':
      return { type: 'closed' }
    case '2':
      return readEvent(body, ackId)
    case '3':
      return Array.isArray(body) && ackId !== null ? { type: 'ack', ackId, payload: body[0] } : MALFORMED
    case '4':
      return readRefusal(body)
    default:
      return MALFORMED
  }
}

function readEvent(body: unknown, ackId: number | null): Packet {
  if (!Array.isArray(body) || typeof body[0] !== 'string') return MALFORMED
  return { type: 'event', name: body[0], payload: body[1], ackId }
}

function readRefusal(body: unknown): Packet {
  if (typeof body !== 'object' || body === null) return { type: 'refused', message: String(body ?? ''), data: null }
  const { message, data } = body as { message?: unknown; data?: unknown }
  return { type: 'refused', message: typeof message === 'string' ? message : '', data: data ?? null }
}

function parse(json: string): unknown {
  if (json === '') return undefined
  try {
    return JSON.parse(json) as unknown
  } catch {
    return undefined
  }
}
