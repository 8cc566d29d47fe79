import { describe, expect, it } from 'vitest'

import { isOpen, lookAgainMs, payAddress, stageOf } from '@/pay/progress'

const ENDS = 900_000
const order = (status: string, actor = '') => ({
  status,
  expires_at_ms: ENDS,
  history: actor ? [{ status: 'created', at_ms: 0, actor: 'alice', reason: '' }, { status, at_ms: 1, actor, reason: '' }] : [],
})

describe('an order', () => {
  it('waits for its payment until its time is over, also before the server says so', () => {
    expect(stageOf(order('created'), 0)).toBe('unpaid')
    expect(stageOf(order('paying'), ENDS - 1)).toBe('unpaid')
    expect(stageOf(order('paying'), ENDS)).toBe('closing')
  })

  it('whose payment failed still waits', () => {
    expect(stageOf(order('paying'), 0, true)).toBe('failed')
    expect(stageOf(order('paying'), ENDS, true)).toBe('closing')
    expect(stageOf(order('paid'), 0, true)).toBe('paid')
  })

  it('that ran out is told from one that was given up', () => {
    expect(stageOf(order('cancelled', 'expiry'), 0)).toBe('expired')
    expect(stageOf(order('cancelled', 'alice'), 0)).toBe('cancelled')
    expect(stageOf({ status: 'cancelled', expires_at_ms: ENDS }, 0)).toBe('cancelled')
  })

  it('is asked about while something may happen by itself, less and less often', () => {
    expect((['unpaid', 'failed', 'closing'] as const).every(isOpen)).toBe(true)
    expect((['paid', 'expired', 'cancelled', 'refunded'] as const).some(isOpen)).toBe(false)
    expect([0, 10, 100].map(lookAgainMs)).toEqual([1_500, 3_000, 6_000])
  })
})

it('only web pages are opened to pay', () => {
  expect(payAddress('https://pay.example/x')).toBe('https://pay.example/x')
  expect(payAddress('javascript:alert(1)')).toBe('')
})
