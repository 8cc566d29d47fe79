/**
 * Bullets over the picture: elements that the compositor moves.
 *
 * Promise: a bullet costs one text measurement, one style write and one animation; nothing of ours runs per frame, and the page
 * wakes once a tick. The number on screen is capped; what finds no lane is not shown here (the list has it), except one's own words, which always fly. A
 * bullet under the pointer stands still. Hidden pages get none. Whoever prefers reduced motion gets the list only: the
 * page does not build an overlay then.
 */
import type { Danmaku } from '@/room/model'
import type { Timers } from '@/time/timers'

import { Lanes, Places, type Flight } from './lanes'
import { FONT_PX, keywordFilter, MOST_ON_SCREEN, pxPerSecond, type DanmakuSettings } from './settings'
import { Smoothing } from './smoothing'

interface Bullet {
  readonly message: Danmaku
  readonly own: boolean
  /** Waits so long outside the picture. */
  readonly delayMs: number
}

const LINE_HEIGHT = 1.6
const STANDING_MS = 4_000
/** Longer texts are cut: a bullet wider than this would hold its lane for half a minute. */
const MAX_CHARACTERS = 60
const MAX_POOL = 40

export class DanmakuOverlay {
  private readonly lanes = new Lanes()
  private readonly top = new Places()
  private readonly bottom = new Places()
  private readonly smoothing = new Smoothing()
  private readonly pool: HTMLElement[] = []
  private readonly flying = new Map<HTMLElement, { readonly id: string; readonly animation: Animation }>()
  private readonly pen = document.createElement('canvas').getContext('2d')
  private readonly observer: ResizeObserver
  private widthPx = 0
  private heightPx = 0
  /** As the page shows it: what the browser has shaped to measure it need not be shaped again. */
  private font = ''
  private allowed: (text: string) => boolean

  constructor(
    private readonly host: HTMLElement,
    private settings: DanmakuSettings,
    private readonly timers: Timers,
  ) {
    this.allowed = keywordFilter(settings.blocked)
    this.observer = new ResizeObserver(([entry]) => {
      if (entry) this.resize(entry.contentRect.width, entry.contentRect.height)
    })
    this.observer.observe(host)
    host.addEventListener('pointerover', (event) => this.hold(event.target, true))
    host.addEventListener('pointerout', (event) => this.hold(event.target, false))
    this.apply(settings)
  }

  /** New messages; `tickMs` is the time over which the server wants them spread. */
  add(messages: readonly Danmaku[], tickMs: number): void {
    if (!this.settings.on || document.hidden) return
    const shown = messages.filter((message) => this.allowed(message.text))
    const delays = this.smoothing.delays(shown.length, tickMs, this.timers.nowMs())
    shown.forEach((message, index) => this.fly({ message, own: false, delayMs: delays[index] ?? 0 }))
  }

  /** One's own words: at once, and whatever the density. */
  addOwn(message: Danmaku): void {
    if (this.settings.on) this.fly({ message, own: true, delayMs: 0 })
  }

  /** Takes messages off the screen. */
  remove(ids: readonly string[]): void {
    const gone = new Set(ids)
    for (const [element, { id }] of [...this.flying]) if (gone.has(id)) this.retire(element)
  }

  apply(settings: DanmakuSettings): void {
    this.settings = settings
    this.allowed = keywordFilter(settings.blocked)
    this.host.style.setProperty('--bullet-opacity', String(settings.opacity))
    this.host.style.setProperty('--bullet-size', `${FONT_PX[settings.size]}px`)
    this.font = `600 ${FONT_PX[settings.size]}px ${getComputedStyle(this.host).fontFamily}`
    if (!settings.on) this.clear()
    this.resize(this.widthPx, this.heightPx)
  }

  destroy(): void {
    this.observer.disconnect()
    this.clear()
  }

  get onScreen(): number {
    return this.flying.size
  }

  private clear(): void {
    for (const element of [...this.flying.keys()]) this.retire(element)
  }

  private resize(widthPx: number, heightPx: number): void {
    this.widthPx = widthPx
    this.heightPx = heightPx
    const count = Math.max(1, Math.floor((heightPx * this.settings.area) / this.linePx))
    this.lanes.resize(count, widthPx)
    this.top.resize(count)
    this.bottom.resize(Math.max(1, Math.floor(heightPx / this.linePx / 3)))
  }

  private get linePx(): number {
    return Math.round(FONT_PX[this.settings.size] * LINE_HEIGHT)
  }

  private fly(bullet: Bullet): void {
    const { own, message } = bullet
    if (this.widthPx === 0) return
    if (!own && this.flying.size >= MOST_ON_SCREEN[this.settings.density]) return
    const text = message.text.length > MAX_CHARACTERS ? `${message.text.slice(0, MAX_CHARACTERS)}…` : message.text
    if (message.mode === 'scroll') this.flyAcross(bullet, text)
    else this.stand(bullet, text)
  }

  private flyAcross(bullet: Bullet, text: string): void {
    const flight: Flight = { widthPx: this.measure(text), pxPerSecond: pxPerSecond(this.settings, this.widthPx) }
    const startMs = this.timers.nowMs() + bullet.delayMs
    const lane = bullet.own ? this.lanes.takeAnyway(flight, startMs) : this.lanes.take(flight, startMs)
    if (lane === null) return
    const element = this.dress(bullet, text, lane * this.linePx)
    const frames = [`translate3d(${this.widthPx}px,0,0)`, `translate3d(${-flight.widthPx}px,0,0)`]
    this.launch(element, bullet, frames, this.lanes.durationMs(flight))
  }

  private stand(bullet: Bullet, text: string): void {
    const fromTop = bullet.message.mode === 'top'
    const startMs = this.timers.nowMs() + bullet.delayMs
    const place = (fromTop ? this.top : this.bottom).take(startMs, STANDING_MS)
    if (place === null) return
    const y = fromTop ? place * this.linePx : this.heightPx - (place + 1) * this.linePx
    const x = Math.round((this.widthPx - this.measure(text)) / 2)
    const still = `translate3d(${x}px,0,0)`
    this.launch(this.dress(bullet, text, y), bullet, [still, still], STANDING_MS)
  }

  private measure(text: string): number {
    if (!this.pen) return text.length * FONT_PX[this.settings.size] // no canvas: a guess that errs on the wide side
    this.pen.font = this.font
    return Math.ceil(this.pen.measureText(text).width) + 20 // padding of .bullet
  }

  private dress(bullet: Bullet, text: string, y: number): HTMLElement {
    const element = this.pool.pop() ?? document.createElement('span')
    const { user, color } = bullet.message
    const staff = user.role === 'host' || user.role === 'assistant'
    element.className = bullet.own ? 'bullet bullet-own' : staff ? 'bullet bullet-staff' : 'bullet'
    element.textContent = text
    element.style.top = `${y}px`
    element.style.color = color
    return element
  }

  private launch(element: HTMLElement, bullet: Bullet, transforms: string[], durationMs: number): void {
    this.host.append(element)
    const animation = element.animate(
      transforms.map((transform) => ({ transform })),
      { duration: durationMs, delay: bullet.delayMs, easing: 'linear', fill: 'both' },
    )
    this.flying.set(element, { id: bullet.message.id, animation })
    animation.onfinish = () => this.retire(element)
  }

  private retire(element: HTMLElement): void {
    const flight = this.flying.get(element)
    if (!flight) return
    flight.animation.onfinish = null
    this.flying.delete(element)
    element.remove()
    flight.animation.cancel()
    if (this.pool.length < MAX_POOL) this.pool.push(element)
  }

  private hold(target: EventTarget | null, hold: boolean): void {
    const animation = target instanceof HTMLElement ? this.flying.get(target)?.animation : undefined
    if (hold) animation?.pause()
    else animation?.play()
  }
}
