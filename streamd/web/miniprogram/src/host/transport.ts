/**
 * `wx.connectSocket` as the room's transport.
 *
 * WeChat gives a mini-program few sockets and closes them when it is in the background; there is one here, the room's.
 */
import type { OpenTransport } from '@/room/socket/transport'

/** `origin` such as `https://live.example.com`. Its wss:// address must be registered as a socket domain. */
export function wxTransport(origin: string): OpenTransport {
  const url = `${origin.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`
  return (events) => {
    let open = true
    const end = (): void => {
      if (!open) return
      open = false
      events.onClose()
    }
    // Nagle's algorithm is on unless one says otherwise, and holds small messages back.
    const task = wx.connectSocket({ url, tcpNoDelay: true, timeout: 10_000, fail: end })
    task.onOpen(() => open && events.onOpen())
    task.onMessage(({ data }) => {
      if (open && typeof data === 'string') events.onMessage(data)
    })
    task.onClose(end)
    task.onError(end)
    return {
      send: (data) => {
        if (open) task.send({ data, fail: end })
      },
      close: () => {
        task.close({})
        end() // the closing handshake of a dead network takes a minute
      },
    }
  }
}
