/**
 * A product: what it costs now, which variant, how many, where to, and the order.
 */
import type { ProductView, SkuView } from '@/api/schema'

import { stockWords } from '../../scene'
import { caller, newKey, pictureUrl, session, signIn, words } from '../../services'
import { failureWords, placeOrder, type Shipping } from '../../shopping'
import { price } from '../../words'

Page({
  data: {
    w: words(),
    room: '',
    id: '',
    product: null as { title: string; description: string; image: string; currency: string } | null,
    skus: [] as readonly SkuView[],
    chosen: 0,
    count: 1,
    unit: '',
    was: '',
    total: '',
    stock: '',
    most: 1,
    shipping: null as Shipping | null,
    problem: '',
    busy: false,
    // One wish, one key: a second press is the same order.
    key: '',
  },
  onLoad({ room = '', product = '' }: { room?: string; product?: string }) {
    this.setData({ w: words(), room, id: product })
    void this.load()
  },
  async load() {
    const found = await caller.read<ProductView>(`/api/v1/products/${encodeURIComponent(this.data.id)}`)
    if (!found.ok) {
      this.setData({ problem: failureWords(found.failure, this.data.w) })
      return
    }
    const { title, description, image, currency, skus } = found.body
    const offered = skus.filter((sku) => sku.is_offered)
    this.setData({ product: { title, description, image: pictureUrl(image), currency }, skus: offered, problem: '' })
    wx.setNavigationBarTitle({ title })
    this.show(this.data.chosen < offered.length ? this.data.chosen : 0, this.data.count)
  },
  show(chosen: number, count: number) {
    const sku = this.data.skus[chosen]
    const { product, w } = this.data
    if (!sku || !product) return
    const most = Math.max(1, Math.min(sku.stock, sku.buyer_limit ?? 99, sku.sale?.limit ?? 99))
    const counted = Math.min(most, Math.max(1, count))
    this.setData({
      chosen,
      count: counted,
      most,
      unit: price(sku.price_minor, product.currency),
      was: sku.original_price_minor === null ? '' : price(sku.original_price_minor, product.currency),
      total: price(sku.price_minor * counted, product.currency),
      stock: stockWords(sku.stock, w),
      key: newKey(),
    })
  },
  choose(event: WechatMiniprogram.BaseEvent) {
    this.show(Number(event.currentTarget.dataset['index']), this.data.count)
  },
  fewer() {
    this.show(this.data.chosen, this.data.count - 1)
  },
  more() {
    this.show(this.data.chosen, this.data.count + 1)
  },
  chooseAddress() {
    wx.chooseAddress({
      success: (chosen) => {
        const { userName, telNumber, provinceName, cityName, countyName, detailInfo } = chosen
        const address = `${provinceName}${cityName}${countyName}${detailInfo}`
        this.setData({ shipping: { recipient: userName, phone: telNumber, address }, key: newKey() })
      },
    })
  },
  async order() {
    const { w, room, skus, chosen, count, shipping, key, busy } = this.data
    const sku = skus[chosen]
    if (!sku || busy) return
    this.setData({ busy: true, problem: '' })
    const problem = session.user ? null : await signIn()
    if (problem) {
      this.setData({ busy: false, problem: problem.code === 'provider_unknown' ? w.noWechat : w.signInFailed })
      return
    }
    const wish = { room, sku_id: sku.id, count, expected_unit_price_minor: sku.price_minor, ...(shipping ? { shipping } : {}) }
    const made = await placeOrder(wish, key)
    this.setData({ busy: false })
    if (made.ok) {
      void wx.redirectTo({ url: `/pages/pay/index?order=${made.body.order}` })
      return
    }
    const { failure } = made
    // Of another price, or less of it, than was shown: the product as it is now, and then why.
    if (failure.status === 409) await this.load()
    this.setData({ problem: failureWords(failure, w), ...(failure.status === 0 ? {} : { key: newKey() }) })
  },
})
