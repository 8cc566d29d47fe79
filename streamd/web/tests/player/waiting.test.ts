import { describe, expect, it } from 'vitest'

import type { Presence, StreamState } from '@/api/stream'
import { askAgainMs, RETURN_GRACE_MS, verdict, type Circumstances } from '@/player/waiting'

function known(state: StreamState): Presence {
  const video = { codec: '', width: null, height: null, fps: null }
  return { kind: 'known', status: { state, video, audio: { codec: '' }, bitrateBps: null, warnings: [] } }
}

const fresh: Omit<Circumstances, 'presence'> = {
  failure: null,
  sincePictureMs: Infinity,
  serverWasAway: false,
  present: null,
}

describe('what the page waits for', () => {
  it('says "not live yet" to somebody who has seen nothing', () => {
    expect(verdict({ ...fresh, presence: known('offline') })).toBe('offline')
  })

  it('says "ended" when the stream ended in good order', () => {
    const failure = { kind: 'end-of-stream', detail: '' } as const
    expect(verdict({ ...fresh, presence: known('offline'), failure, sincePictureMs: 800 })).toBe('ended')
  })

  it('says "reconnecting" while a restarted server waits for its encoders', () => {
    const failure = { kind: 'end-of-stream', detail: '' } as const
    const now = { ...fresh, presence: known('offline'), failure, sincePictureMs: 3_000, serverWasAway: true }
    expect(verdict(now)).toBe('interrupted')
    expect(verdict({ ...now, sincePictureMs: RETURN_GRACE_MS + 1 })).toBe('ended')
  })

  it('does not take "ended" back for the same silence', () => {
    expect(verdict({ ...fresh, presence: known('offline'), sincePictureMs: 2_000, present: 'ended' })).toBe('ended')
  })

  it('follows the server in "paused", "live", "unknown" and silence', () => {
    expect(verdict({ ...fresh, presence: known('paused') })).toBe('interrupted')
    expect(verdict({ ...fresh, presence: known('live') })).toBe('play')
    expect(verdict({ ...fresh, presence: { kind: 'unknown-room' } })).toBe('unknown-room')
    expect(verdict({ ...fresh, presence: { kind: 'unreachable' } })).toBe('lost')
  })

  it('lets playback find out when the server would not say', () => {
    const presence: Presence = { kind: 'unsaid', httpStatus: 403 }
    expect(verdict({ ...fresh, presence })).toBe('play')
    expect(verdict({ ...fresh, presence, failure: { kind: 'not-found', detail: '' } })).toBe('offline')
  })

  it('looks often for a lost server and rarely for a show that ended', () => {
    const middle = () => 0.5
    expect(askAgainMs('lost', 0, false, middle)).toBe(500)
    expect(askAgainMs('lost', 50, false, middle)).toBe(3_000)
    expect(askAgainMs('ended', 50, false, middle)).toBe(30_000)
    expect(askAgainMs('offline', 0, true, middle)).toBe(9_000)
  })
})
