/**
 * What the page is waiting for when nothing plays, and when it looks again.
 *
 * Promise: pure. `verdict` turns the server's word and what happened before into a phase; `askAgainMs` turns a phase into a
 * delay. Why a grace: a server that restarts has forgotten its streams until the encoders return, which takes them a few
 * seconds; a viewer should read "reconnecting", not "the show has ended".
 */
import type { Presence } from '@/api/stream'
import { backoffMs, type BackoffShape } from '@/time/backoff'

import type { EngineFailure, PlayerPhase } from './model'

export type WaitingPhase = 'offline' | 'interrupted' | 'ended' | 'lost' | 'unknown-room' | 'forbidden'
export type Verdict = 'play' | WaitingPhase

export interface Circumstances {
  readonly presence: Presence
  readonly failure: EngineFailure | null
  /** Since a picture last moved; Infinity when none ever did. */
  readonly sincePictureMs: number
  /** The server was out of reach since the picture last moved. */
  readonly serverWasAway: boolean
  readonly present: WaitingPhase | null
}

export const RETURN_GRACE_MS = 25_000

export function verdict(now: Circumstances): Verdict {
  const { presence } = now
  switch (presence.kind) {
    case 'unreachable':
      return 'lost'
    case 'unknown-room':
      return 'unknown-room'
    case 'unsaid':
      if (now.failure?.kind === 'forbidden' || now.present === 'forbidden') return 'forbidden'
      return now.failure?.kind === 'not-found' ? whenOffline(now) : 'play'
    case 'known':
      // Tried again now and then all the same: the room may be opened to everybody.
      if (presence.status.state === 'live' && now.failure?.kind === 'forbidden') return 'forbidden'
      if (presence.status.state === 'live') return 'play'
      return presence.status.state === 'paused' ? 'interrupted' : whenOffline(now)
  }
}

function whenOffline(now: Circumstances): WaitingPhase {
  if (now.sincePictureMs === Infinity) return 'offline'
  if (now.present === 'ended') return 'ended'
  const endedInOrder = now.failure?.kind === 'end-of-stream' && !now.serverWasAway
  if (endedInOrder || now.sincePictureMs > RETURN_GRACE_MS) return 'ended'
  return 'interrupted'
}

const SHAPES: Readonly<Record<WaitingPhase, BackoffShape>> = {
  // The server is expected back at once: a restart takes seconds.
  lost: { firstMs: 500, capMs: 3_000, jitter: 0.25 },
  interrupted: { firstMs: 1_000, capMs: 2_500, jitter: 0.25 },
  offline: { firstMs: 3_000, capMs: 10_000, jitter: 0.25 },
  ended: { firstMs: 5_000, capMs: 30_000, jitter: 0.25 },
  'unknown-room': { firstMs: 15_000, capMs: 60_000, jitter: 0.25 },
  forbidden: { firstMs: 30_000, capMs: 60_000, jitter: 0.25 },
}

/** A page nobody looks at asks this much less often. */
const HIDDEN_FACTOR = 3

export function askAgainMs(phase: WaitingPhase, attempt: number, hidden: boolean, random: () => number): number {
  return backoffMs(attempt, SHAPES[phase], random) * (hidden ? HIDDEN_FACTOR : 1)
}

/** The phase if it is one of waiting, else null. */
export function asWaiting(phase: PlayerPhase): WaitingPhase | null {
  return phase in SHAPES ? (phase as WaitingPhase) : null
}
