/**
 * Paying an order.
 *
 * The sandbox gateway is paid here, natively: its page is a plain form, and these are its buttons. It is never said to be more than
 * a sandbox. Any other gateway opens in a browser. Whether it is paid is asked of the order, never taken from the gateway.
 */
import { words } from '../../services'
import { failureWords, isUnpaid, openPayment, pressSandbox, readOrder, type Payment } from '../../shopping'
import { price } from '../../words'

const LOOK_EVERY_MS = 700
const MOST_LOOKS = 12

Page({
  data: {
    w: words(),
    order: '',
    payment: null as Payment | null,
    amount: '',
    state: 'opening' as 'opening' | 'sandbox' | 'elsewhere' | 'confirming' | 'paid' | 'open' | 'failed',
    problem: '',
    left: false,
  },
  onLoad({ order = '' }: { order?: string }) {
    this.setData({ w: words(), order })
    wx.setNavigationBarTitle({ title: this.data.w.payTitle })
    void this.open()
  },
  onUnload() {
    this.data.left = true
  },
  async open() {
    const found = await openPayment(this.data.order)
    if (!found.ok) {
      this.setData({ state: 'failed', problem: failureWords(found.failure, this.data.w) })
      return
    }
    const payment = found.body
    const state = payment.status === 'paid' ? 'paid' : payment.gateway === 'sandbox' ? 'sandbox' : 'elsewhere'
    this.setData({ payment, amount: price(payment.amount_minor, payment.currency), state, problem: '' })
  },
  async press(event: WechatMiniprogram.BaseEvent) {
    const { payment } = this.data
    if (!payment) return
    this.setData({ state: 'confirming', problem: '' })
    const heard = await pressSandbox(payment.pay_url, event.currentTarget.dataset['action'] as 'pay' | 'fail' | 'late')
    // Lost on the way there or back: one look tells which, and a second press pays nothing twice.
    await this.confirm(heard ? MOST_LOOKS : 1)
    if (!heard && this.data.state === 'open') this.setData({ state: 'sandbox', problem: this.data.w.lost })
  },
  async confirm(mostLooks: number) {
    for (let look = 0; look < mostLooks && !this.data.left; look += 1) {
      const found = await readOrder(this.data.order)
      if (found.ok && !isUnpaid(found.body)) {
        this.setData({ state: found.body.status === 'cancelled' ? 'open' : 'paid' })
        return
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
    this.setData({ state: 'open' })
  },
  copy() {
    void wx.setClipboardData({ data: this.data.payment?.pay_url ?? '' })
  },
  toOrder() {
    void wx.redirectTo({ url: `/pages/order/index?order=${this.data.order}` })
  },
})
