import { describe, expect, it } from 'vitest'

import type { Danmaku } from '@/room/model'
import { RoomState } from '@/room/state'

import { MAX_BULLETS, MAX_LINES, Scene } from '../src/scene'
import { wordsOf } from '../src/words'

let nowMs = 0

function scene(): Scene {
  nowMs = 0
  return new Scene({
    words: wordsOf('en'),
    widthPx: 375,
    nowMs: () => nowMs,
    utcNowMs: () => nowMs,
    pictureUrl: (path) => `https://a.example${path}`,
  })
}

function message(seq: number, text = 'hello'): Danmaku {
  const user = { id: 'u1', name: 'Mei', role: 'viewer', level: 0 } as const
  return { seq, id: `m${seq}`, user, text, color: '', mode: 'scroll', atMs: 0 }
}

describe('a room as its page shows it', () => {
  it('is given to setData once, and then only what is different', () => {
    const painted = scene()
    const state = new RoomState()
    state.welcome({ epoch: 'e', title: 'A show', live: true, online: 3, likes: 1, history: [] })
    expect(painted.patch(state.view())).toMatchObject({ title: 'A show', onAir: true, online: '3 watching', lines: [] })
    expect(painted.patch(state.view())).toBeNull()
    state.event('likes', { total: 9 })
    expect(painted.patch(state.view())).toEqual({ likes: 9 })
  })

  it('holds the last lines only, however many came', () => {
    const painted = scene()
    const state = new RoomState()
    for (let seq = 1; seq <= 150; seq += 1) state.event('danmaku', [{ seq, id: `m${seq}`, text: `${seq}`, user: { name: 'a' } }])
    const lines = painted.patch(state.view())?.['lines'] as { text: string }[]
    expect(lines).toHaveLength(MAX_LINES)
    expect(lines.at(-1)?.text).toBe('150')
  })

  it('shows a card with its price, what is left and how long the sale runs', () => {
    const painted = scene()
    const state = new RoomState()
    const product = { id: 7, title: 'Tea', price_minor: 990, original_price_minor: 1990, currency: 'CNY', stock: 3, image: '/pictures/a.jpg' }
    state.event('card', { seq: 1, version: 1, at_ms: 1, product: { ...product, sale: { ends_at_ms: 65_000 } } })
    expect(painted.patch(state.view())?.['card']).toEqual({
      id: '7',
      title: 'Tea',
      image: 'https://a.example/pictures/a.jpg',
      price: '¥9.90',
      was: '¥19.90',
      stock: '3 left',
      sale: 'ends in 01:05',
      soldOut: false,
    })
  })

  it('says so while it is coming back and when it will not have us', () => {
    const painted = scene()
    const state = new RoomState()
    state.link = 'away'
    expect(painted.patch(state.view())?.['banner']).toContain('coming back')
    painted.noNetwork = true
    expect(painted.patch(state.view())?.['banner']).toContain('No network')
    state.link = 'refused'
    state.refusal = { code: 'banned', message: '', retryAfterMs: 0 }
    expect(painted.patch(state.view())?.['banner']).toContain('sent out')
  })

  it('says that it is on its way where the first joining takes long, and not where it does not', () => {
    const painted = scene()
    const state = new RoomState()
    expect(painted.patch(state.view())).toMatchObject({ banner: '' })
    nowMs = 2_000
    expect(painted.patch(state.view())).toMatchObject({ banner: 'Connecting…' })
    state.welcome({ epoch: 'e', title: 'A show', live: true, history: [] })
    state.link = 'joined'
    expect(painted.patch(state.view())).toMatchObject({ banner: '' })
  })

  it('flies comments in lanes, no more than fit, and always one’s own', () => {
    const painted = scene()
    const view = new RoomState().view()
    painted.fly(Array.from({ length: 200 }, (_, n) => message(n + 1)), 200)
    painted.flyOwn(message(999, 'mine'))
    const bullets = painted.patch(view)?.['bullets'] as { own: boolean; style: string }[]
    expect(bullets.length).toBeLessThanOrEqual(MAX_BULLETS)
    expect(bullets.filter((bullet) => bullet.own)).toHaveLength(1)
    expect(new Set(bullets.filter((bullet) => !bullet.own).map((bullet) => /top:\d+/.exec(bullet.style)?.[0])).size).toBe(bullets.length - 1)
    nowMs = 60_000
    expect(painted.patch(view)).toMatchObject({ bullets: [] })
  })

  it('takes back what a moderator took back', () => {
    const painted = scene()
    const view = new RoomState().view()
    painted.fly([message(1)], 0)
    painted.patch(view)
    painted.retract(['m1'])
    expect(painted.patch(view)).toEqual({ bullets: [] })
  })
})
