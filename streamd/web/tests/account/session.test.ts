import { describe, expect, it } from 'vitest'

import type { Sending, Sent } from '@/api/send'
import { Session } from '@/account/session'

class Shelf {
  private readonly items = new Map<string, string>()
  broken = false
  getItem(key: string): string | null {
    if (this.broken) throw new Error('forbidden')
    return this.items.get(key) ?? null
  }
  setItem(key: string, value: string): void {
    if (this.broken) throw new Error('forbidden')
    this.items.set(key, value)
  }
  removeItem(key: string): void {
    this.items.delete(key)
  }
}

/** A server with one account, whose refresh tokens are good once; and tabs that share a shelf. */
class World {
  readonly shelf = new Shelf()
  readonly sent: Sending[] = []
  nowMs = 1_000_000
  answer: Sent['kind'] = 'body'
  status = 401
  private issued = 0
  private good = ''
  ended = false
  private queue: Promise<unknown> = Promise.resolve()

  tab(): { session: Session; changes: () => number } {
    let changes = 0
    const session = new Session({
      storage: this.shelf,
      send: (sending) => this.receive(sending),
      deviceNowMs: () => this.nowMs,
      alone: (run) => {
        const turn = this.queue.then(run)
        this.queue = turn.catch(() => {})
        return turn
      },
      onChange: () => {
        changes += 1
      },
    })
    return { session, changes: () => changes }
  }

  private async receive(sending: Sending): Promise<Sent> {
    this.sent.push(sending)
    await Promise.resolve()
    if (this.answer === 'unreachable') return { kind: 'unreachable' }
    if (this.answer === 'problem') return this.refuse(this.status)
    const { refresh_token: offered } = (sending.body ?? {}) as { refresh_token?: string }
    if (sending.path.endsWith('/refresh') && (offered !== this.good || this.ended)) {
      this.ended = true
      return this.refuse(401)
    }
    this.issued += 1
    this.good = `refresh${this.issued}`
    const user = { id: 'u1', name: 'alice', display_name: 'Alice', role: 'viewer' }
    return { kind: 'body', body: { access_token: `access${this.issued}`, refresh_token: this.good, expires_in_s: 900, user } }
  }

  private refuse(status: number): Sent {
    return { kind: 'problem', problem: { status, code: 'x', title: 'No', detail: '', fix: '' }, retryAfterMs: 0 }
  }
}

describe('signing in', () => {
  it('keeps the session for the next visit', async () => {
    const world = new World()
    const { session, changes } = world.tab()
    expect(session.token()).toBe('')
    expect(await session.signIn(' alice ', 'secret')).toBeNull()
    expect(world.sent[0]?.body).toEqual({ name: 'alice', password: 'secret' })
    expect(changes()).toBe(1)
    const later = world.tab().session
    expect(later.user).toMatchObject({ name: 'alice', displayName: 'Alice' })
    expect(later.token()).toBe('access1')
  })

  it('says why it did not work', async () => {
    const world = new World()
    world.answer = 'problem'
    const { session } = world.tab()
    for (const [status, code] of [[401, 'credentials'], [403, 'disabled'], [429, 'busy'], [422, 'invalid']] as const) {
      world.status = status
      expect(await session.signIn('a', 'b')).toMatchObject({ code })
    }
    world.status = 409
    expect(await session.register('a', 'b', '')).toMatchObject({ code: 'taken' })
    world.answer = 'unreachable'
    expect(await session.signIn('a', 'b')).toMatchObject({ code: 'lost' })
  })

  it('signs in right after registering', async () => {
    const world = new World()
    const { session } = world.tab()
    expect(await session.register('alice', 'long enough', 'Alice')).toBeNull()
    expect(world.sent.map((sending) => sending.path)).toEqual(['/api/v1/users', '/api/v1/sessions'])
    expect(session.user?.name).toBe('alice')
  })

  it('works for the visit where storage is forbidden', async () => {
    const world = new World()
    world.shelf.broken = true
    const { session } = world.tab()
    await session.signIn('alice', 'secret')
    expect(session.token()).toBe('access1')
    expect(await session.renew()).toBe(true)
  })
})

describe('staying signed in', () => {
  it('renews only what is about to run out', async () => {
    const world = new World()
    const { session } = world.tab()
    await session.signIn('alice', 'secret')
    await session.fresh()
    expect(session.token()).toBe('access1')
    world.nowMs += 850_000
    await session.fresh()
    expect(session.token()).toBe('access2')
  })

  it('renews once for all tabs, since a refresh token used twice ends the session', async () => {
    const world = new World()
    const first = world.tab().session
    await first.signIn('alice', 'secret')
    const second = world.tab().session
    const third = world.tab().session
    const done = await Promise.all([first.renew(), first.renew(), second.renew(), third.renew()])
    expect(done).toEqual([true, true, true, true])
    expect(world.ended).toBe(false)
    expect([first, second, third].map((session) => session.token())).toEqual(['access2', 'access2', 'access2'])
  })

  it('forgets a session that the server has ended, in every tab', async () => {
    const world = new World()
    const { session } = world.tab()
    await session.signIn('alice', 'secret')
    const other = world.tab()
    world.ended = true
    expect(await session.renew()).toBe(false)
    expect(session.user).toBeNull()
    other.session.storageChanged()
    expect(other.session.user).toBeNull()
    expect(other.changes()).toBe(1)
  })

  it('keeps a session that the server could not be asked about', async () => {
    const world = new World()
    const { session } = world.tab()
    await session.signIn('alice', 'secret')
    world.answer = 'unreachable'
    expect(await session.renew()).toBe(false)
    expect(session.user?.name).toBe('alice')
  })

  it('is forgotten here even when signing out does not get through', async () => {
    const world = new World()
    const { session } = world.tab()
    await session.signIn('alice', 'secret')
    world.answer = 'unreachable'
    await session.signOut()
    expect(world.tab().session.user).toBeNull()
    expect(world.sent.at(-1)).toMatchObject({ method: 'DELETE', accessToken: 'access1' })
  })
})
