/**
 * Who one is here, what one has bought and seen, and how it should look.
 */
import { player, preferences, session, signIn, words } from '../../services'
import { readOrders, statusWords } from '../../shopping'
import { price } from '../../words'

const LANGUAGES = ['auto', 'zh', 'en'] as const

Page({
  data: {
    w: words(),
    name: '',
    problem: '',
    orders: [] as { order: string; title: string; total: string; status: string }[],
    next: null as number | null,
    preferences: preferences.get(),
    mayChoosePlayer: player === 'live',
  },
  onShow() {
    this.refresh()
    void this.load(null)
  },
  onReachBottom() {
    if (this.data.next !== null) void this.load(this.data.next)
  },
  refresh() {
    const w = words()
    wx.setNavigationBarTitle({ title: w.me })
    this.setData({ w, name: session.user?.displayName ?? '', preferences: preferences.get() })
  },
  async load(cursor: number | null) {
    if (!session.user) return
    const found = await readOrders(cursor)
    if (!found.ok) return
    const { w } = this.data
    const read = found.body.items.map(({ order, title, total_minor, currency, status }) => ({
      order,
      title,
      total: price(total_minor, currency),
      status: statusWords(status, w),
    }))
    this.setData({ orders: cursor === null ? read : [...this.data.orders, ...read], next: found.body.next_cursor })
  },
  async signIn() {
    const problem = await signIn()
    const { w } = this.data
    const why = !problem ? '' : problem.code === 'provider_unknown' ? w.noWechat : problem.code === 'busy' ? w.busy : w.signInFailed
    this.setData({ problem: why })
    this.refresh()
    void this.load(null)
  },
  async signOut() {
    await session.signOut()
    this.setData({ orders: [], next: null })
    this.refresh()
  },
  toOrder(event: WechatMiniprogram.BaseEvent) {
    void wx.navigateTo({ url: `/pages/order/index?order=${event.currentTarget.dataset['order']}` })
  },
  toRoom(event: WechatMiniprogram.BaseEvent) {
    void wx.navigateTo({ url: `/pages/room/index?room=${event.currentTarget.dataset['room']}` })
  },
  onDanmaku(event: WechatMiniprogram.SwitchChange) {
    preferences.set({ danmaku: event.detail.value })
  },
  onPlayer(event: WechatMiniprogram.SwitchChange) {
    preferences.set({ player: event.detail.value ? 'live' : 'video' })
    this.refresh()
  },
  nextLanguage() {
    const at = LANGUAGES.indexOf(preferences.get().language)
    preferences.set({ language: LANGUAGES[(at + 1) % LANGUAGES.length] ?? 'auto' })
    this.refresh()
  },
})
