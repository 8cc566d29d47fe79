// @vitest-environment jsdom
/** Components as WeChat's own simulator renders them. */
import { createRequire } from 'node:module'
import { join } from 'node:path'

import { beforeAll, describe, expect, it, vi } from 'vitest'

import { wordsOf } from '../src/words'

interface Rendered {
  attach(parent: Element): void
  detach(): void
  querySelector(selector: string): { dispatchEvent(name: string, options?: object): void } | undefined
  addEventListener(name: string, handler: (event: { detail: unknown }) => void): void
  setData(data: object): void
  readonly instance: { readonly data: Record<string, unknown> }
}
interface Simulate {
  load(path: string, tagName: string, options: { rootPath: string }): string
  render(id: string, properties?: object): Rendered
  sleep(ms: number): Promise<void>
}

const simulate = createRequire(import.meta.url)('miniprogram-simulate') as Simulate
const w = wordsOf('en')
const context = { stop: vi.fn(), play: vi.fn() }
const connected = new Set<(event: { isConnected: boolean }) => void>()

beforeAll(() => {
  Object.assign((globalThis as unknown as { wx: object }).wx, {
    createLivePlayerContext: () => context,
    createVideoContext: () => context,
    nextTick: (run: () => void) => void setTimeout(run, 0),
    onNetworkStatusChange: (handler: (event: { isConnected: boolean }) => void) => connected.add(handler),
    offNetworkStatusChange: (handler: (event: { isConnected: boolean }) => void) => connected.delete(handler),
    getAppBaseInfo: () => ({ language: 'en' }),
    getStorageSync: () => '',
  })
})

function shown(name: string, properties: object): { component: Rendered; page: HTMLElement } {
  // Compiled all at once, as WeChat does: one by one, the compiler confuses what they share.
  const rootPath = join(__dirname, '../dist')
  const component = simulate.render(simulate.load(join(rootPath, 'components', name, 'index'), name, { rootPath }), properties)
  const page = document.createElement('div')
  component.attach(page)
  return { component, page }
}

describe('components', () => {
  it('show a card and tell who opens it', async () => {
    const card = { id: '7', title: 'Tea', image: '', price: '¥9.90', was: '¥19.90', stock: '3 left', sale: '', soldOut: false }
    const { component, page } = shown('product-card', { card, words: w })
    for (const words of ['Tea', '¥9.90', '¥19.90', '3 left', w.buy]) expect(page.textContent).toContain(words)
    const opened = vi.fn()
    component.addEventListener('open', (event) => opened(event.detail))
    component.querySelector('.card')?.dispatchEvent('tap')
    await simulate.sleep(10)
    expect(opened).toHaveBeenCalledWith({ id: '7' })
  })

  it('show no card where none is pinned', () => {
    expect(shown('product-card', { card: null, words: w }).page.textContent?.trim()).toBe('')
  })

  it('show what was said, by whom, and what became of it', () => {
    const lines = [
      { key: '1', kind: 'danmaku', name: 'Mei', text: '<b>hi</b>', role: 'host', own: false, note: '' },
      { key: '2', kind: 'danmaku', name: 'me', text: 'hello', role: 'viewer', own: true, note: w.sending },
    ]
    const { page } = shown('chat-list', { lines })
    expect(page.textContent).toContain('<b>hi</b>')
    expect(page.innerHTML).toContain('host')
    expect(page.textContent).toContain(w.sending)
  })

  it('show bullets where they fly', () => {
    const { page } = shown('danmaku-layer', { bullets: [{ key: 'a', text: 'wow', own: true, style: 'top:30px' }] })
    expect(page.innerHTML).toContain('top:30px')
    expect(page.textContent).toContain('wow')
  })

  it('open a drawer with the goods, and say so when there are none', () => {
    expect(shown('product-drawer', { open: false, goods: [], words: w }).page.textContent?.trim()).toBe('')
    expect(shown('product-drawer', { open: true, state: 'goods', goods: [], words: w }).page.textContent).toContain(w.noGoods)
    const goods = [{ id: 3, title: 'Cup', price: '¥5.00', stock: '', image: '' }]
    expect(shown('product-drawer', { open: true, state: 'goods', goods, words: w }).page.textContent).toContain('Cup')
  })

  it('say that the goods are on their way or did not come, and ask again', async () => {
    const loading = shown('product-drawer', { open: true, state: 'loading', goods: [], words: w })
    expect(loading.page.textContent).toContain(w.connecting)
    expect(loading.page.textContent).not.toContain(w.noGoods)
    const { component, page } = shown('product-drawer', { open: true, state: 'lost', goods: [], words: w })
    expect(page.textContent).toContain(w.lost)
    const again = vi.fn()
    component.addEventListener('again', again)
    component.querySelector('.again')?.dispatchEvent('tap')
    await simulate.sleep(10)
    expect(again).toHaveBeenCalled()
  })

  it('play on with another address, and when the network is back', async () => {
    const { component, page } = shown('live-picture', { src: 'https://a.example/live/demo.flv', kind: 'live', words: w })
    const say = async (code: number): Promise<void> => {
      component.querySelector('.picture')?.dispatchEvent('statechange', { detail: { code } })
      await simulate.sleep(10)
    }
    await say(2004)
    context.play.mockClear()
    component.setData({ src: 'https://a.example/live/demo.flv?video=0' })
    await simulate.sleep(20)
    expect(context.play).toHaveBeenCalledTimes(1)
    expect(page.textContent).toContain(w.connecting)
    await say(-2301)
    for (const tell of connected) tell({ isConnected: true })
    expect(context.play).toHaveBeenCalledTimes(2)
    component.detach()
    expect(connected.size).toBe(0)
  })

  it('turn the player’s codes into words and a way on', async () => {
    const { component, page } = shown('live-picture', { src: 'https://a.example/live/demo.flv', kind: 'live', words: w })
    expect(page.textContent).toContain(w.connecting)
    const player = component.querySelector('.picture')
    const say = async (code: number): Promise<void> => {
      player?.dispatchEvent('statechange', { detail: { code } })
      await simulate.sleep(10)
    }
    await say(2004)
    expect(page.textContent).not.toContain(w.connecting)
    await say(-2301)
    expect(page.textContent).toContain(w.pictureLost)
    component.querySelector('.again')?.dispatchEvent('tap')
    await simulate.sleep(10)
    expect(context.play).toHaveBeenCalled()
    const sound = vi.fn()
    component.addEventListener('soundonly', sound)
    await say(2004)
    for (let n = 0; n < 3; n += 1) await say(2105)
    component.querySelector('.sound')?.dispatchEvent('tap')
    component.setData({ soundOnly: true })
    await say(2004)
    expect(page.textContent).not.toContain(w.weak)
    expect(page.textContent).toContain(w.withPicture)
    component.querySelector('.sound')?.dispatchEvent('tap')
    await simulate.sleep(10)
    expect(sound).toHaveBeenCalledTimes(2)
    for (let n = 0; n < 5; n += 1) await say(2101)
    const plain = vi.fn()
    component.addEventListener('plain', plain)
    component.querySelector('.plain')?.dispatchEvent('tap')
    await simulate.sleep(10)
    expect(plain).toHaveBeenCalled()
    component.detach()
  })
})
