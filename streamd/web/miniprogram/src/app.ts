/**
 * The mini-program: one room at a time, left when WeChat puts it to sleep and resumed when it is back.
 */
import { asleep, awake, networkChanged, session } from './services'

App({
  onLaunch() {
    wx.onNetworkStatusChange(({ isConnected }) => {
      if (isConnected) networkChanged()
    })
    void session.fresh()
  },
  onShow() {
    void session.fresh()
    awake()
  },
  onHide() {
    asleep()
  },
})
