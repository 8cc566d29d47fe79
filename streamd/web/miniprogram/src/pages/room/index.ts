/**
 * A live room: the picture, what is said and sold over it, and a way to speak and to buy.
 *
 * All that the room tells goes through one painter, so the page is laid out at most five times a second however busy it is. The
 * picture does not wait for the room and the room not for the picture: each comes back by itself.
 */
import { fetchRoom } from '@/api/rooms'
import type { ListingView } from '@/api/schema'
import type { SocketRoomClient } from '@/room/client'

import { pictureAddress } from '../../live'
import { Painter } from '../../painter'
import { Scene, stockWords, type Bullet, type CardShown, type Line } from '../../scene'
import {
  api,
  caller,
  enterRoom,
  leaveRoom,
  origin,
  pictureUrl,
  preferences,
  serverClock,
  session,
  signIn,
  timers,
  words,
} from '../../services'
import { price } from '../../words'

const SECOND_MS = 1_000

type Connected = (event: { isConnected: boolean }) => void

interface Parts {
  client: SocketRoomClient
  painter: Painter
  scene: Scene
  ticking: ReturnType<typeof setInterval>
  onConnected: Connected
}

Page({
  data: {
    w: words(),
    room: '',
    token: '',
    kind: preferences.get().player,
    soundOnly: false,
    src: '',
    title: '',
    onAir: null as boolean | null,
    online: '',
    likes: 0,
    banner: '',
    mayNotSpeak: '',
    maxLength: 100,
    pinned: '',
    card: null as CardShown | null,
    lines: [] as Line[],
    turn: 0,
    bullets: [] as Bullet[],
    draft: '',
    drawer: false,
    goodsState: 'loading' as 'loading' | 'goods' | 'lost',
    goods: [] as { id: number; title: string; image: string; price: string; stock: string }[],
    top: wx.getWindowInfo().statusBarHeight,
  },
  onLoad({ room = '', token = '' }: { room?: string; token?: string }) {
    const w = words()
    this.setData({ w, room, token, kind: preferences.get().player })
    this.aim()
    const scene = new Scene({
      words: w,
      widthPx: wx.getWindowInfo().windowWidth,
      nowMs: () => timers.nowMs(),
      utcNowMs: () => serverClock.nowMs(),
      pictureUrl,
    })
    const painter: Painter = new Painter({
      render: () => scene.patch(client.view()),
      setData: (patch) => this.setData(patch),
      timers,
    })
    const touch = (): void => painter.touch()
    const client: SocketRoomClient = enterRoom(room, {
      onChange: touch,
      onBullets: (bullets, spreadMs) => scene.fly(bullets, spreadMs),
      onOwn: (message) => scene.flyOwn(message),
      onRetracted: (ids) => scene.retract(ids),
      onLikes: () => {},
    })
    // Bullets leave and a sale's time runs while nothing is told.
    const ticking = setInterval(touch, SECOND_MS)
    const onConnected: Connected = ({ isConnected }) => {
      scene.noNetwork = !isConnected
      touch()
    }
    wx.onNetworkStatusChange(onConnected)
    const parts: Parts = { client, painter, scene, ticking, onConnected }
    Object.assign(this, { parts })
    client.start()
    void fetchRoom(room, api) // its answer sets the clock that sales end by
    wx.setKeepScreenOn({ keepScreenOn: true })
  },
  onShow() {
    const parts = this.held()
    if (!parts) return
    const { danmaku, player } = preferences.get()
    parts.scene.danmaku = danmaku
    if (player !== this.data.kind) {
      this.setData({ kind: player })
      this.aim()
    }
    parts.painter.resume()
    parts.painter.touch()
  },
  onHide() {
    this.held()?.painter.pause()
  },
  onUnload() {
    const parts = this.held()
    if (!parts) return
    clearInterval(parts.ticking)
    wx.offNetworkStatusChange(parts.onConnected as unknown as WechatMiniprogram.OffNetworkStatusChangeCallback)
    parts.painter.pause()
    leaveRoom(parts.client)
    preferences.saw({ room: this.data.room, title: this.data.title || this.data.room })
    wx.setKeepScreenOn({ keepScreenOn: false })
  },
  onShareAppMessage() {
    return { title: this.data.title, path: `/pages/room/index?room=${this.data.room}` }
  },
  held(): Parts | undefined {
    return (this as unknown as { parts?: Parts }).parts
  },

  // ---- the picture

  aim() {
    const { room, token, kind, soundOnly } = this.data
    this.setData({ src: pictureAddress({ origin, room, token, kind, soundOnly }) })
  },
  toggleSoundOnly() {
    this.setData({ soundOnly: !this.data.soundOnly })
    this.aim()
  },
  usePlain() {
    preferences.set({ player: 'video' })
    this.setData({ kind: 'video' })
    this.aim()
  },

  // ---- speaking and liking

  onDraft(event: WechatMiniprogram.Input) {
    this.data.draft = event.detail.value
  },
  async say() {
    const text = this.data.draft.trim()
    const parts = this.held()
    if (!text || !parts) return
    this.setData({ draft: '' })
    const refusal = await parts.client.say(text)
    if (!refusal) return
    // The words are given back: to be sent by one press more.
    if (!this.data.draft) this.setData({ draft: text })
    const guest = refusal.code === 'sign_in' && !session.user
    if (guest && !(await signIn())) return // the room is joined anew, as oneself
    void wx.showToast({ title: refusal.message || this.data.w.notSent, icon: 'none' })
  },
  like() {
    this.held()?.client.like()
    void wx.vibrateShort({ type: 'light' }) // the number follows within a second; the thumb knows now
  },

  // ---- buying

  async openDrawer() {
    // What was there stays in view until the answer is there.
    this.setData({ drawer: true, goodsState: this.data.goods.length > 0 ? 'goods' : 'loading' })
    const found = await caller.read<ListingView>(`/api/v1/rooms/${this.data.room}/products`)
    if (!found.ok) {
      if (this.data.goods.length === 0) this.setData({ goodsState: 'lost' })
      return
    }
    const goods = found.body.items.map(({ id, title, image, price_minor, currency, stock }) => ({
      id,
      title,
      image: pictureUrl(image),
      price: price(price_minor, currency),
      stock: stockWords(stock, this.data.w),
    }))
    this.setData({ goods, goodsState: 'goods' })
  },
  closeDrawer() {
    this.setData({ drawer: false })
  },
  openProduct(event: WechatMiniprogram.CustomEvent<{ id: string }>) {
    const { id } = event.detail
    const { room } = this.data
    if (id === this.data.card?.id) void caller.change('POST', `/api/v1/rooms/${room}/card/clicks`, { product_id: Number(id) })
    this.setData({ drawer: false })
    void wx.navigateTo({ url: `/pages/product/index?room=${room}&product=${id}` })
  },
  back() {
    wx.navigateBack({ fail: () => void wx.reLaunch({ url: '/pages/rooms/index' }) })
  },
})
