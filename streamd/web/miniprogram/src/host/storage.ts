/**
 * The mini-program's storage, as sessions and settings use it.
 */
import type { SessionStorage } from '@/account/session'

export const wxStorage: SessionStorage = {
  getItem: (key) => {
    const kept: unknown = wx.getStorageSync(key)
    return typeof kept === 'string' && kept !== '' ? kept : null
  },
  setItem: (key, value) => wx.setStorageSync(key, value),
  removeItem: (key) => wx.removeStorageSync(key),
}
