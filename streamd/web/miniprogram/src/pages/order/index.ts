/**
 * An order: how it stands, and what its buyer can do now.
 */
import { serverClock, words } from '../../services'
import { cancelOrder, failureWords, isUnpaid, readOrder, statusWords, type Order } from '../../shopping'
import { countdown, filled, price } from '../../words'

const LOOK_EVERY_MS = 5_000

Page({
  data: {
    w: words(),
    number: '',
    order: null as Order | null,
    status: '',
    total: '',
    expires: '',
    unpaid: false,
    problem: '',
    looking: 0,
  },
  onLoad({ order = '' }: { order?: string }) {
    this.setData({ w: words(), number: order })
    wx.setNavigationBarTitle({ title: this.data.w.orderTitle })
  },
  onShow() {
    void this.load()
    this.data.looking = setInterval(() => this.data.unpaid && void this.load(), LOOK_EVERY_MS) as unknown as number
  },
  onHide() {
    clearInterval(this.data.looking)
  },
  onUnload() {
    clearInterval(this.data.looking)
  },
  async load() {
    const found = await readOrder(this.data.number)
    const { w } = this.data
    if (!found.ok) {
      this.setData({ problem: failureWords(found.failure, w) })
      return
    }
    this.show(found.body)
  },
  show(order: Order) {
    const { w } = this.data
    const unpaid = isUnpaid(order)
    const expires = unpaid ? filled(w.expires, { time: countdown(order.expires_at_ms - serverClock.nowMs()) }) : ''
    const total = price(order.total_minor, order.currency)
    this.setData({ order, status: statusWords(order.status, w), total, unpaid, expires, problem: '' })
  },
  pay() {
    void wx.navigateTo({ url: `/pages/pay/index?order=${this.data.number}` })
  },
  async cancel() {
    const done = await cancelOrder(this.data.number)
    if (done.ok) void this.load()
    else this.setData({ problem: failureWords(done.failure, this.data.w) })
  },
})
