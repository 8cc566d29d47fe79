/**
 * One life of one Socket.IO connection, from opening to its end.
 *
 * Promise: `onConnected` or `onRefused` or `onClosed` comes within the handshake's time; events come in order; every
 * emitted event is answered, or fails when its time is up or the connection ends; a peer that falls silent is noticed
 * after the heartbeat the server itself named. Reconnecting is client.ts's.
 */
import type { Cancel, Timers } from '@/time/timers'

import { connectPacket, DISCONNECT, eventPacket, PONG, readPacket } from './packets'
import type { OpenTransport, TransportChannel } from './transport'

export interface ConnectionEvents {
  readonly onConnected: () => void
  readonly onRefused: (message: string, data: unknown) => void
  readonly onEvent: (name: string, payload: unknown) => void
  /** Once, whatever came before, unless the owner closed it. */
  readonly onClosed: () => void
}

interface AwaitedAck {
  readonly settle: (payload: unknown) => void
  readonly fail: () => void
}

const HANDSHAKE_MS = 10_000
const ACK_MS = 10_000
const PROBE_MS = 5_000

/** The event was not answered: lost, late, or the connection ended. Whether the server acted on it is unknown. */
export class NoAnswer extends Error {}

export class Connection {
  private readonly channel: TransportChannel
  private readonly acks = new Map<number, AwaitedAck>()
  private nextAckId = 0
  private silenceMs = HANDSHAKE_MS
  private cancelWatch: Cancel
  private open = true

  constructor(
    openTransport: OpenTransport,
    private readonly auth: unknown,
    private readonly timers: Timers,
    private readonly events: ConnectionEvents,
  ) {
    this.cancelWatch = timers.after(HANDSHAKE_MS, () => this.end())
    this.channel = openTransport({
      onOpen: () => {},
      onMessage: (text) => this.open && this.onMessage(text),
      onClose: () => this.end(),
    })
  }

  /** Sends an event and waits for its acknowledgement; rejects with NoAnswer. */
  emit(name: string, payload: unknown): Promise<unknown> {
    const ackId = this.nextAckId++
    return new Promise((resolve, reject) => {
      const fail = (): void => {
        this.acks.delete(ackId)
        cancel()
        reject(new NoAnswer(name))
      }
      const settle = (answer: unknown): void => {
        this.acks.delete(ackId)
        cancel()
        resolve(answer)
      }
      const cancel = this.timers.after(ACK_MS, fail)
      this.acks.set(ackId, { settle, fail })
      if (this.open) this.channel.send(eventPacket(name, payload, ackId))
      else fail()
    })
  }

  /**
   * The network may have changed underneath, and a socket of the old one says nothing: whoever answers nothing within
   * `PROBE_MS` is gone. The heartbeat alone would take the better part of a minute to find out.
   */
  probe(name: string, payload: unknown): Promise<unknown> {
    this.watch(PROBE_MS)
    return this.emit(name, payload)
  }

  /** Leaves in good order. `onClosed` is not called. */
  close(): void {
    if (!this.open) return
    this.channel.send(DISCONNECT)
    this.finish()
  }

  private onMessage(text: string): void {
    this.watch()
    const packet = readPacket(text)
    switch (packet.type) {
      case 'open':
        this.silenceMs = packet.pingIntervalMs + packet.pingTimeoutMs
        this.watch()
        this.channel.send(connectPacket(this.auth))
        return
      case 'ping':
        this.channel.send(PONG)
        return
      case 'connected':
        this.events.onConnected()
        return
      case 'refused':
        this.finish()
        this.events.onRefused(packet.message, packet.data)
        return
      case 'event':
        this.events.onEvent(packet.name, packet.payload)
        return
      case 'ack':
        this.acks.get(packet.ackId)?.settle(packet.payload)
        return
      case 'closed':
        this.end()
        return
      case 'other':
    }
  }

  /** Anything the server says proves it alive for one heartbeat more. */
  private watch(silenceMs = this.silenceMs): void {
    this.cancelWatch()
    this.cancelWatch = this.timers.after(silenceMs, () => this.end())
  }

  private end(): void {
    if (!this.open) return
    this.finish()
    this.events.onClosed()
  }

  private finish(): void {
    this.open = false
    this.cancelWatch()
    this.channel.close()
    for (const ack of [...this.acks.values()]) ack.fail()
  }
}
