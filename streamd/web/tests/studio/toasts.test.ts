// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { resultOf } from '@/api/staff'
import { remembered } from '@/remembered'
import { done, failed, hold, later, reasonOf, release, toasts, undoLatest, UNDO_MS } from '@/studio/toasts'

const failure = { status: 409, code: 'odd', detail: 'it is sold out', fix: 'add stock', retryAfterMs: 0, requestId: 'abc' }

beforeEach(() => {
  vi.useFakeTimers()
  remembered.language = 'en'
  toasts.length = 0
})
afterEach(() => vi.useRealTimers())

describe('a deed that cannot be taken back', () => {
  it('is done when nobody took it back in time, and once', () => {
    const run = vi.fn()
    later('ending', run, () => {})
    vi.advanceTimersByTime(UNDO_MS - 1)
    expect(run).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    dispatchEvent(new Event('pagehide'))
    expect(run).toHaveBeenCalledTimes(1)
  })

  it('is not done when it was taken back', () => {
    const run = vi.fn()
    const back = vi.fn()
    later('ending', run, back)
    undoLatest()
    vi.advanceTimersByTime(UNDO_MS * 2)
    dispatchEvent(new Event('pagehide'))
    expect([run.mock.calls.length, back.mock.calls.length]).toEqual([0, 1])
  })

  it('waits while somebody points at it, and has the rest of its time afterwards', () => {
    const run = vi.fn()
    later('ending', run, () => {})
    const { id } = toasts[0]!
    vi.advanceTimersByTime(UNDO_MS - 1_000)
    hold(id)
    vi.advanceTimersByTime(UNDO_MS * 10)
    expect([run.mock.calls.length, toasts.length]).toEqual([0, 1])
    release(id)
    vi.advanceTimersByTime(999)
    expect(run).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect([run.mock.calls.length, toasts.length]).toEqual([1, 0])
  })

  it('is done in time although newer ones have pushed it out', () => {
    const run = vi.fn()
    later('ending', run, () => {})
    hold(toasts[0]!.id)
    for (const word of ['a', 'b', 'c', 'd']) done(word)
    vi.advanceTimersByTime(UNDO_MS)
    expect(run).toHaveBeenCalledTimes(1)
  })

  it('is done at once when the page is left', () => {
    const run = vi.fn()
    later('ending', run, () => {})
    dispatchEvent(new Event('pagehide'))
    expect(run).toHaveBeenCalledTimes(1)
  })
})

describe('what is said', () => {
  it('of a failure is its reason and request, longer than of a deed', () => {
    done('saved')
    failed('Not saved', failure)
    expect(toasts.map((toast) => toast.text)).toEqual(['saved', 'Not saved: it is sold out – add stock'])
    expect(toasts[1]).toMatchObject({ tone: 'failed', requestId: 'abc' })
    vi.advanceTimersByTime(UNDO_MS)
    expect(toasts.map((toast) => toast.tone)).toEqual(['failed'])
  })

  it('is in the reader’s own language where there are words', () => {
    expect(reasonOf({ ...failure, code: 'unreachable', status: 0 })).toBe('the server does not answer')
    expect(reasonOf({ ...failure, status: 429 })).toBe('too much at once; wait a moment')
    remembered.language = 'zh'
    expect(reasonOf({ ...failure, code: 'unreachable', status: 0 })).toBe('服务器没有应答')
  })

  it('undoes the newest that can be undone', () => {
    const first = vi.fn()
    const second = vi.fn()
    done('one', first)
    done('two', second)
    done('three')
    undoLatest()
    expect([first.mock.calls.length, second.mock.calls.length]).toEqual([0, 1])
  })
})

describe('an answer', () => {
  it('is a body or a failure, never nothing', () => {
    expect(resultOf<number>({ kind: 'body', body: 4 })).toEqual({ ok: true, body: 4 })
    expect(resultOf({ kind: 'unreachable' })).toMatchObject({ ok: false, failure: { code: 'unreachable', status: 0 } })
    const problem = { status: 503, code: 'busy', title: 'Busy', detail: '', fix: '' }
    expect(resultOf({ kind: 'problem', problem, retryAfterMs: 500, requestId: 'r1' })).toEqual({
      ok: false,
      failure: { status: 503, code: 'busy', detail: 'Busy', fix: '', retryAfterMs: 500, requestId: 'r1' },
    })
  })
})
