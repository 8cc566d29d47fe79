import { describe, expect, it } from 'vitest'

import type { Result } from '@/api/staff'
import { Optimistic } from '@/studio/optimistic'

const refused: Result<never> = {
  ok: false,
  failure: { status: 409, code: 'stale', detail: '', fix: '', retryAfterMs: 0, requestId: '' },
}

function deferred<T>() {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((done) => (resolve = done))
  return { promise, resolve }
}

describe('a change that is under way', () => {
  it('is seen at once, and stays when the server says yes', async () => {
    const seen: number[] = []
    const state = new Optimistic(1, (view) => seen.push(view))
    const answer = deferred<Result<null>>()
    const attempt = state.attempt({ guess: (now) => now + 10, send: () => answer.promise })
    expect(state.view).toBe(11)
    answer.resolve({ ok: true, body: null })
    await attempt
    expect(state.view).toBe(11)
    expect(seen).toEqual([11, 11])
  })

  it('disappears alone when the server says no', async () => {
    const state = new Optimistic<readonly string[]>([], () => {})
    const no = deferred<Result<null>>()
    const yes = deferred<Result<null>>()
    const first = state.attempt({ guess: (now) => [...now, 'refused'], send: () => no.promise })
    const second = state.attempt({ guess: (now) => [...now, 'taken'], send: () => yes.promise })
    expect(state.view).toEqual(['refused', 'taken'])
    no.resolve(refused)
    await first
    expect(state.view).toEqual(['taken'])
    yes.resolve({ ok: true, body: null })
    await second
    expect(state.view).toEqual(['taken'])
  })

  it('lies on top of what others change meanwhile', async () => {
    const state = new Optimistic({ price: 5, stock: 9 }, () => {})
    const answer = deferred<Result<null>>()
    const attempt = state.attempt({ guess: (now) => ({ ...now, price: 4 }), send: () => answer.promise })
    state.learn((known) => ({ ...known, stock: 8, price: 6 }))
    expect(state.view).toEqual({ price: 4, stock: 8 })
    answer.resolve(refused)
    await attempt
    expect(state.view).toEqual({ price: 6, stock: 8 })
  })

  it('is replaced by what the answer says', async () => {
    const state = new Optimistic(1, () => {})
    await state.attempt({
      guess: (now) => now + 1,
      send: () => Promise.resolve({ ok: true as const, body: 40 }),
      confirm: (_known, answer) => answer,
    })
    expect(state.view).toBe(40)
  })

  it('asked for twice is under way twice', () => {
    const state = new Optimistic(0, () => {})
    const more = (now: number): number => now + 1
    const never = (): Promise<Result<null>> => new Promise(() => {})
    void state.attempt({ guess: more, send: never })
    void state.attempt({ guess: more, send: never })
    expect(state.view).toBe(2)
  })
})
