/**
 * What all pages share: the server, who is signed in, and the one room that one is in.
 */
import { Session, type SignInProblem } from '@/account/session'
import { Caller } from '@/api/calling'
import type { ReadOptions } from '@/api/http'
import { senderBy } from '@/api/sending'
import { SocketRoomClient, type RoomParts } from '@/room/client'
import { ServerClock } from '@/time/serverClock'

import { wxExchange } from './host/exchange'
import { wxStorage } from './host/storage'
import { wxTimers } from './host/timers'
import { wxTransport } from './host/transport'
import { PreferenceBook } from './preferences'
import { languageOf, wordsOf, type Words } from './words'

export const origin = STREAMD_ORIGIN
export const player = STREAMD_PLAYER
export const timers = wxTimers
export const serverClock = new ServerClock()
export const preferences = new PreferenceBook(wxStorage, player)

const exchange = wxExchange(origin)
export const api: ReadOptions = { clock: serverClock, exchange }
const send = senderBy(exchange)

export const session = new Session({
  storage: wxStorage,
  send,
  deviceNowMs: Date.now,
  alone: (run) => run(), // a mini-program runs once
  onChange: () => current?.rejoin(),
})

/** Only ever compared, so chance is good enough. */
export function newKey(): string {
  const part = (): string => Math.floor(Math.random() * 2 ** 32).toString(16).padStart(8, '0')
  return part() + part() + part() + part()
}

export const caller = new Caller(send, session, newKey)

/** Signs in as the WeChat account that holds the phone; the first time makes an account. */
export function signIn(): Promise<SignInProblem | null> {
  const failed: SignInProblem = { code: 'lost', detail: '', retryAfterMs: 0 }
  return new Promise((resolve) => {
    wx.login({
      timeout: 8_000,
      success: ({ code }) => void session.signInBy('wechat', code).then(resolve),
      fail: () => resolve(failed),
    })
  })
}

export function words(): Words {
  return wordsOf(languageOf(preferences.get().language, wx.getAppBaseInfo().language))
}

/** Addresses of pictures as the server tells them, made whole: there is no page whose origin they could be of. */
export function pictureUrl(path: string | null): string {
  return path === null || path === '' ? '' : path.startsWith('/') ? `${origin}${path}` : path
}

// ---- the room one is in: at most one, so at most one socket

let current: SocketRoomClient | null = null

export type Listeners = Pick<RoomParts, 'onChange' | 'onBullets' | 'onOwn' | 'onRetracted' | 'onLikes'>

/** A member of the room, not there yet: call its `start`. Leaves the room before. */
export function enterRoom(room: string, listeners: Listeners): SocketRoomClient {
  current?.stop()
  current = new SocketRoomClient({
    room,
    token: () => session.token(),
    renewToken: () => session.renew(),
    transport: wxTransport(origin),
    timers,
    utcNowMs: () => serverClock.nowMs(),
    random: Math.random,
    ...listeners,
  })
  return current
}

export function leaveRoom(client: SocketRoomClient): void {
  client.stop()
  if (current === client) current = null
}

/**
 * WeChat stops scripts and cuts sockets a few seconds after the mini-program is left, and does not always tell. So it is closed
 * here in good order, and on return the room is resumed from where it was: what came meanwhile is told again, the card first.
 */
export function asleep(): void {
  current?.stop()
}

export function awake(): void {
  current?.start()
}

export function networkChanged(): void {
  current?.nudge()
}
