/**
 * What every page of one browser tab shares: the server's clock, the way to ask the API, and who is signed in.
 */
import { readonly, shallowRef } from 'vue'

import { Session, type SessionUser } from './account/session'
import { browserExchange } from './api/browserExchange'
import type { ReadOptions } from './api/http'
import { sendJson } from './api/send'
import { ServerClock } from './time/serverClock'

export const serverClock = new ServerClock()
export const api: ReadOptions = { clock: serverClock, exchange: browserExchange() }

const user = shallowRef<SessionUser | null>(null)
/** Who is signed in, in this browser; null for a guest. */
export const signedIn = readonly(user)

export const session = new Session({
  storage: localStorage,
  send: sendJson,
  deviceNowMs: Date.now,
  // Only secure origins have locks; elsewhere two tabs may renew at once, and the slower signs in again.
  alone: async (run) => (navigator.locks ? await navigator.locks.request('streamd.session', run) : await run()),
  onChange: () => {
    user.value = session.user
  },
})
user.value = session.user
addEventListener('storage', () => session.storageChanged())

const LOOK_EVERY_MS = 30_000
setInterval(() => void session.fresh(), LOOK_EVERY_MS)
void session.fresh()
