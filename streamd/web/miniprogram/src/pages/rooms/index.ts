/**
 * Rooms on air.
 */
import { fetchRooms } from '@/api/rooms'

import { api, pictureUrl, words } from '../../services'

Page({
  data: {
    w: words(),
    state: 'loading' as 'loading' | 'rooms' | 'lost',
    rooms: [] as { room: string; title: string; host: string; onAir: boolean; cover: string }[],
  },
  onShow() {
    this.setData({ w: words() })
    wx.setNavigationBarTitle({ title: this.data.w.onAir })
    void this.load()
  },
  onPullDownRefresh() {
    void this.load().then(() => wx.stopPullDownRefresh())
  },
  async load() {
    const found = await fetchRooms(api)
    if (found.kind === 'unreachable') {
      // What was there stays: a list that is a minute old is better than none.
      this.setData({ state: this.data.rooms.length > 0 ? 'rooms' : 'lost' })
      return
    }
    const rooms = found.rooms
      .map(({ room, title, host, onAir, cover }) => ({ room, title: title || room, host, onAir, cover: pictureUrl(cover) }))
      .sort((one, other) => Number(other.onAir) - Number(one.onAir))
    this.setData({ state: 'rooms', rooms })
  },
  enter(event: WechatMiniprogram.BaseEvent) {
    void wx.navigateTo({ url: `/pages/room/index?room=${event.currentTarget.dataset['room']}` })
  },
  toMe() {
    void wx.navigateTo({ url: '/pages/me/index' })
  },
})
