/**
 * What just happened, said in a corner: what was done and can be undone, and what was not done and why.
 *
 * A deed that cannot be taken back waits for as long as its toast offers to; leaving the page does it at once. Whoever points at
 * a toast, or has it in focus, has all the time they want.
 */
import { shallowReactive } from 'vue'

import type { Failure, Result } from '@/api/staff'

import { wCode } from './words'

export interface Toast {
  readonly id: number
  readonly text: string
  readonly tone: 'done' | 'failed'
  readonly undo?: () => void
  readonly requestId?: string
}

export const UNDO_MS = 5_000
const FAILED_MS = 9_000
const MOST = 4

export const toasts: Toast[] = shallowReactive([])
let lastId = 0

export function dismiss(id: number): void {
  const index = toasts.findIndex((toast) => toast.id === id)
  if (index >= 0) toasts.splice(index, 1)
}

interface Countdown {
  leftMs: number
  sinceMs: number
  timer: ReturnType<typeof setTimeout> | undefined
  readonly over: () => void
}

const countdowns = new Map<number, Countdown>()

/** Its time stands still. */
export function hold(id: number): void {
  const countdown = countdowns.get(id)
  if (!countdown?.timer) return
  clearTimeout(countdown.timer)
  countdown.timer = undefined
  countdown.leftMs -= performance.now() - countdown.sinceMs
}

/** Its time goes on. */
export function release(id: number): void {
  const countdown = countdowns.get(id)
  if (!countdown || countdown.timer) return
  countdown.sinceMs = performance.now()
  countdown.timer = setTimeout(() => {
    countdowns.delete(id)
    dismiss(id)
    countdown.over()
  }, countdown.leftMs)
}

function show(toast: Omit<Toast, 'id'>, forMs: number, over: () => void = () => {}): void {
  lastId += 1
  const id = lastId
  toasts.push({ ...toast, id })
  countdowns.set(id, { leftMs: forMs, sinceMs: 0, timer: undefined, over })
  release(id)
  const pushedOut = toasts.length > MOST ? toasts.shift() : undefined
  if (pushedOut) release(pushedOut.id) // nobody can point at it any more
}

export function done(text: string, undo?: () => void, over?: () => void): void {
  show({ text, tone: 'done', ...(undo ? { undo } : {}) }, UNDO_MS, over)
}

/** The reason in the reader's own language where there are words for it, else in the server's. */
export function reasonOf(failure: Failure): string {
  const own = wCode('failure', failure.code) ?? wCode('failure.status', String(failure.status))
  return own ?? [failure.detail, failure.fix].filter(Boolean).join(' – ')
}

export function failed(what: string, failure: Failure): void {
  const { requestId } = failure
  show({ text: `${what}: ${reasonOf(failure)}`, tone: 'failed', ...(requestId ? { requestId } : {}) }, FAILED_MS)
}

/** Says it when it went wrong; gives the answer when it went well. */
export function told<T>(what: string, result: Result<T>): T | null {
  if (result.ok) return result.body ?? (null as T)
  failed(what, result.failure)
  return null
}

/** The newest deed that can still be taken back, taken back: for the key. */
export function undoLatest(): void {
  const latest = toasts.filter((toast) => toast.undo).at(-1)
  if (!latest) return
  dismiss(latest.id)
  latest.undo?.()
}

/** Does it when nobody has taken it back in time. */
export function later(text: string, run: () => void, takenBack: () => void): void {
  let settled = false
  const settle = (): boolean => {
    if (settled) return false
    settled = true
    removeEventListener('pagehide', now)
    return true
  }
  const now = (): void => {
    if (settle()) run()
  }
  addEventListener('pagehide', now)
  const back = (): void => {
    if (settle()) takenBack()
  }
  done(text, back, now)
}
