/**
 * The mini-program's words, in Chinese and English: a table each, whose keys the compiler checks.
 */
export type Language = 'zh' | 'en'

const zh = {
  onAir: '正在直播', live: '直播中', offAir: '未开播', none: '还没有人开播', noneHint: '下拉刷新看看', lost: '服务器没有响应', again: '重试',
  online: '{count} 人在看', connecting: '正在连接…', stalled: '网络不稳，画面稍后继续', weak: '网络较慢，可以先只听声音', soundOnly: '只听声音', withPicture: '恢复画面',
  pictureLost: '画面断开，正在重连…', undecodable: '当前播放方式不支持此画面', usePlain: '换兼容模式', offline: '还没开播，开播后画面会自动出现',
  noNetwork: '没有网络，连上后自动回到直播间', away: '连接断开，正在重新进入直播间…', refused: '无法进入直播间', banned: '你已被移出直播间', say: '说点什么', send: '发送', sending: '发送中…', notSent: '未发送', muted: '你已被禁言', closed: '主播关闭了评论',
  bought: '{name} 买了 {count} 件', skipped: '直播间太热闹，略过 {count} 条', goods: '商品', buy: '去购买', soldOut: '已售罄', left: '仅剩 {count} 件', ends: '{time} 后结束', like: '点赞', pinned: '置顶', close: '关闭', noGoods: '这场直播还没有商品',
  count: '数量', option: '规格', address: '收货地址', chooseAddress: '选择收货地址', order: '提交订单', total: '合计', orderTitle: '订单', pay: '去支付', cancel: '取消订单', payTitle: '支付',
  sandbox: '测试环境，不会真实扣款', payNow: '确认支付', payFail: '模拟支付失败', payLate: '模拟延迟到账', paying: '正在确认付款…', paid: '支付成功', notPaid: '尚未收到付款', elsewhere: '此支付方式暂不支持在小程序内完成，请复制链接到浏览器打开', copyLink: '复制支付链接', seeOrder: '查看订单',
  created: '待支付', payingStatus: '支付中', paidStatus: '待发货', shipped: '已发货', completed: '已完成', cancelled: '已取消', refunding: '退款中', refunded: '已退款', expires: '请在 {time} 内支付', tracking: '物流单号',
  me: '我的', signIn: '微信登录', signedOut: '登录后可以评论和下单', signOut: '退出登录', orders: '我的订单', noOrders: '还没有订单', history: '看过的直播间', settings: '设置', danmaku: '弹幕', language: '语言', player: '播放方式', playerLive: '低延迟', playerVideo: '兼容', auto: '跟随系统',
  signInFailed: '登录失败，请再试一次', noWechat: '此服务器尚未开通微信登录', busy: '人太多了，请稍后再试', priceChanged: '价格有变，请重新确认', noStock: '库存不足', failed: '没有成功：{why}',
}

export type Words = Readonly<Record<keyof typeof zh, string>>

const en: Words = {
  onAir: 'On air', live: 'Live', offAir: 'Off air', none: 'Nobody is on air yet', noneHint: 'Pull down to look again', lost: 'The server does not answer', again: 'Try again',
  online: '{count} watching', connecting: 'Connecting…', stalled: 'Unsteady network; the picture will go on', weak: 'A slow network: listen for now?', soundOnly: 'Sound only', withPicture: 'Picture again',
  pictureLost: 'The picture broke off; connecting again…', undecodable: 'This way of playing cannot show it', usePlain: 'Compatible mode', offline: 'Not on air yet; the picture will appear by itself',
  noNetwork: 'No network; you will be back in the room as soon as there is one', away: 'Disconnected; coming back to the room…', refused: 'This room will not have you', banned: 'You were sent out of this room', say: 'Say something', send: 'Send', sending: 'Sending…', notSent: 'Not sent', muted: 'You are muted', closed: 'The host has closed the chat',
  bought: '{name} bought {count}', skipped: 'Too lively: {count} messages left out', goods: 'Products', buy: 'Buy', soldOut: 'Sold out', left: '{count} left', ends: 'ends in {time}', like: 'Like', pinned: 'Pinned', close: 'Close', noGoods: 'Nothing is sold in this show yet',
  count: 'Count', option: 'Option', address: 'Ship to', chooseAddress: 'Choose an address', order: 'Place order', total: 'Total', orderTitle: 'Order', pay: 'Pay', cancel: 'Cancel order', payTitle: 'Payment',
  sandbox: 'Test mode: no real money moves', payNow: 'Pay', payFail: 'Try: payment fails', payLate: 'Try: money comes late', paying: 'Confirming the payment…', paid: 'Paid', notPaid: 'No payment has arrived yet', elsewhere: 'This gateway cannot be paid inside a mini-program here; open the link in a browser', copyLink: 'Copy payment link', seeOrder: 'See the order',
  created: 'To be paid', payingStatus: 'Paying', paidStatus: 'To be shipped', shipped: 'Shipped', completed: 'Completed', cancelled: 'Cancelled', refunding: 'Refund under way', refunded: 'Refunded', expires: 'Pay within {time}', tracking: 'Tracking number',
  me: 'Me', signIn: 'Sign in with WeChat', signedOut: 'Sign in to speak and to buy', signOut: 'Sign out', orders: 'My orders', noOrders: 'No orders yet', history: 'Rooms you watched', settings: 'Settings', danmaku: 'Flying comments', language: 'Language', player: 'Player', playerLive: 'Low latency', playerVideo: 'Compatible', auto: 'As the system',
  signInFailed: 'Signing in did not work; try again', noWechat: 'This server does not sign in by WeChat', busy: 'Too many people; try again in a moment', priceChanged: 'The price has changed; please look again', noStock: 'Not enough in stock', failed: 'That did not work: {why}',
}

const TABLES: Readonly<Record<Language, Words>> = { zh, en }

/** `system` is the phone's language, such as zh_CN. */
export function languageOf(choice: 'auto' | Language, system: string): Language {
  if (choice !== 'auto') return choice
  return /^zh/i.test(system) ? 'zh' : 'en'
}

export function wordsOf(language: Language): Words {
  return TABLES[language]
}

export function filled(words: string, values: Readonly<Record<string, string | number>>): string {
  return words.replace(/\{(\w+)\}/g, (_whole, name: string) => String(values[name] ?? ''))
}

const SIGNS: Readonly<Record<string, string>> = { CNY: '¥', JPY: '¥', USD: '$', EUR: '€', GBP: '£', HKD: 'HK$' }
const DIGITS: Readonly<Record<string, number>> = { JPY: 0, KRW: 0, VND: 0, KWD: 3, BHD: 3 }

/** Minor units as a price; old phones have no Intl. */
export function price(minor: number, currency: string): string {
  const digits = DIGITS[currency] ?? 2
  return `${SIGNS[currency] ?? `${currency} `}${(minor / 10 ** digits).toFixed(digits)}`
}

/** Remaining time as m:ss or h:mm:ss. */
export function countdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000))
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3_600)
  const rest = `${two(Math.floor((seconds % 3_600) / 60))}:${two(seconds % 60)}`
  return hours > 0 ? `${hours}:${rest}` : rest
}
