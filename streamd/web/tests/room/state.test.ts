import { describe, expect, it } from 'vitest'

import { RoomState } from '@/room/state'

import { danmaku, WELCOME } from '../support/fakeRoom'

function joined(welcome: Record<string, unknown> = {}): RoomState {
  const state = new RoomState()
  state.welcome({ ...WELCOME, ...welcome })
  return state
}

function texts(state: RoomState): string[] {
  return state.view().lines.flatMap((line) => (line.kind === 'danmaku' ? [line.message.text] : [line.kind]))
}

const card = {
  seq: 20,
  version: 3,
  at_ms: 5,
  product: { id: 'p1', title: 'Tea', price_minor: 1990, currency: 'CNY', original_price_minor: 2990, stock: 5, image: '/m/tea.jpg' },
}

describe('the room put together', () => {
  it('begins with the history, and counts what it has shown', () => {
    const state = joined({ history: [danmaku(8), danmaku(9)] })
    expect(texts(state)).toEqual(['message 8', 'message 9'])
    expect(state.position).toEqual({ epoch: 'e1', seq: 10 })
    expect(state.event('danmaku', [danmaku(11), danmaku(12)]).bullets).toHaveLength(2)
    expect(state.position).toEqual({ epoch: 'e1', seq: 12 })
  })

  it('counts a repeated event once', () => {
    const state = joined()
    state.event('danmaku', [danmaku(11)])
    expect(state.event('danmaku', [danmaku(11), danmaku(12)]).bullets.map((bullet) => bullet.seq)).toEqual([12])
    state.event('order', { seq: 13, buyer: 'A***e', product_id: 'p1', count: 2 })
    state.event('order', { seq: 13, buyer: 'A***e', product_id: 'p1', count: 2 })
    expect(texts(state)).toEqual(['message 11', 'message 12', 'order'])
  })

  it('shows an order once, told twice under two numbers', () => {
    const state = new RoomState()
    state.welcome(WELCOME)
    const order = { event_id: 7, buyer: 'A***e', product_id: 'p1', count: 2 }
    state.event('order', { ...order, seq: 13 })
    state.event('order', { ...order, seq: 14 })
    state.event('order', { ...order, seq: 15, event_id: 8 })
    expect(texts(state)).toEqual(['order', 'order'])
  })

  it('keeps its lines when it is told that nothing was lost, and begins again when something was', () => {
    const state = joined()
    state.event('danmaku', [danmaku(11)])
    state.welcome({ ...WELCOME, recovered: true, seq: 15, history: [danmaku(9)] })
    expect(texts(state)).toEqual(['message 11'])
    expect(state.position?.seq).toBe(11)
    state.welcome({ ...WELCOME, recovered: false, epoch: 'e2', seq: 3, history: [danmaku(2, 'new era')] })
    expect(texts(state)).toEqual(['new era'])
    expect(state.position).toEqual({ epoch: 'e2', seq: 3 })
  })

  it('keeps one’s own message in its place when the server confirms it, and lets no bullet fly twice', () => {
    const state = joined()
    const own = { seq: 0, id: 'mine', user: { id: 'u1', name: 'Alice', role: 'viewer', level: 0 }, text: 'hi', color: '', mode: 'scroll', atMs: 0 } as const
    state.sending(own)
    state.event('danmaku', [danmaku(11)])
    const echo = { ...danmaku(12, 'hi', 'mine'), user: { id: 'u1', name: 'Alice' } }
    expect(state.event('danmaku', [echo]).bullets).toEqual([])
    state.judged('mine', null)
    expect(texts(state)).toEqual(['hi', 'message 11'])
    expect(state.view().lines[0]).toMatchObject({ status: 'shown', own: true, message: { seq: 12 } })
  })

  it('keeps a refused message with its reason', () => {
    const state = joined()
    state.sending({ ...danmaku(0, 'bad word', 'x'), color: '', mode: 'scroll', atMs: 0 } as never)
    state.judged('x', { code: 'words', message: 'Not allowed', retryAfterMs: 0 })
    expect(state.view().lines[0]).toMatchObject({ status: 'refused', refusal: { code: 'words' } })
  })

  it('shows the card, follows the news of its product, and takes it away', () => {
    const state = joined()
    state.event('card', card)
    state.event('product', { seq: 21, id: 'p1', stock: 2 })
    state.event('product', { seq: 22, id: 'other', stock: 99, price_minor: 1 })
    state.event('product', { seq: 23, id: 'p1', price_minor: 990, sale: { ends_at_ms: 77, limit: 1 } })
    expect(state.view().card?.product).toMatchObject({ stock: 2, priceMinor: 990, originalPriceMinor: 2990, sale: { endsAtMs: 77 } })
    state.event('product', { seq: 26, id: 'p1', sale: { starts_at_ms: 70, ends_at_ms: 77, limit: 1 } })
    expect(state.view().card?.product?.sale).toMatchObject({ startsAtMs: 70, endsAtMs: 77 })
    state.event('product', { seq: 24, id: 'p1', status: 'sold_out', sale: null })
    expect(state.view().card?.product).toMatchObject({ stock: 0, sale: null })
    state.event('card', { seq: 25, version: 4, at_ms: 6, product: null })
    expect(state.view().card?.product).toBeNull()
  })

  it('shows what the host pinned, until it is taken down', () => {
    const state = joined({ pinned: { seq: 3, message: danmaku(2, 'ships tomorrow') } })
    expect(state.view().pinned).toEqual({ name: 'Bob', text: 'ships tomorrow' })
    state.event('pinned', { seq: 11, message: null })
    expect(state.view().pinned).toBeNull()
  })

  it('removes what a moderator took back', () => {
    const state = joined()
    state.event('danmaku', [danmaku(11), danmaku(12)])
    expect(state.event('retract', { seq: 13, ids: ['id11', 7] }).retracted).toEqual(['id11'])
    expect(texts(state)).toEqual(['message 12'])
  })

  it('takes one’s own message that was shown to nobody else, though its number is ahead of the tick’s', () => {
    const state = joined()
    state.event('danmaku', [danmaku(15, 'ahead')])
    expect(state.event('danmaku', [danmaku(11), danmaku(12)]).bullets).toHaveLength(2)
    expect(state.position?.seq).toBe(15)
  })

  it('follows the chat’s settings and a mute that comes and goes', () => {
    const state = joined()
    state.event('chat', { seq: 11, muted_all: true, slow_mode_ms: 5_000 })
    expect(state.view().limits).toMatchObject({ mutedAll: true, slowModeMs: 5_000, maxLength: 80, guestsMaySpeak: false })
    state.event('sanction', { seq: 12, kind: 'mute', until_ms: 99, reason: 'calm down' })
    expect(state.view()).toMatchObject({ me: { mutedUntilMs: 99 }, sanction: { reason: 'calm down' } })
    state.event('sanction', { seq: 13, kind: 'mute', until_ms: 0, reason: '' })
    expect(state.view()).toMatchObject({ me: { mutedUntilMs: 0 }, sanction: null })
  })

  it('joins neighbouring gaps into one line, and resumes before them: the log may still know', () => {
    const state = joined()
    state.event('gap', { from_seq: 11, to_seq: 14, dropped: { C: 3 } })
    state.event('gap', { from_seq: 15, to_seq: 20, dropped: { C: 5, D: 1 } })
    expect(state.view().lines).toMatchObject([{ kind: 'skipped', count: 9 }])
    expect(state.position?.seq).toBe(10)
  })

  it('bounds its list, however busy the room', () => {
    const state = joined()
    for (let seq = 11; seq < 20_000; seq += 20) {
      state.event('danmaku', Array.from({ length: 20 }, (_, index) => danmaku(seq + index)))
    }
    expect(state.view().lines).toHaveLength(200)
  })

  it('survives any payload', () => {
    const state = joined()
    const odd = [undefined, null, 0, 'x', [], {}, [null], { seq: 'x', ids: 3, dropped: 'x', product: [] }, [[1]], { user: 7 }]
    for (const name of ['danmaku', 'likes', 'online', 'card', 'product', 'order', 'notice', 'retract', 'live', 'chat', 'pinned', 'gap', 'sanction', 'news']) {
      for (const payload of odd) state.event(name, payload)
    }
    for (const payload of odd) state.welcome(payload)
    expect(state.view().lines.length).toBeLessThan(200)
  })

  it('uses no picture and no colour that could leave the page’s own', () => {
    const state = joined()
    const evil = { ...card, product: { ...card.product, image: '//elsewhere.example/x.png' } }
    state.event('card', evil)
    expect(state.view().card?.product?.image).toBe('')
    const [bullet] = state.event('danmaku', [{ ...danmaku(21), color: 'red;background:url(x)' }]).bullets
    expect(bullet?.color).toBe('')
  })
})
