/**
 * The browser's WebSocket as the room's transport.
 */
import type { OpenTransport } from './transport'

/** `origin` is the page's, such as `https://live.example`. */
export function browserTransport(origin: string): OpenTransport {
  const address = `${origin.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`
  return (events) => {
    const socket = new WebSocket(address)
    let open = true
    const end = (): void => {
      if (!open) return
      open = false
      events.onClose()
    }
    socket.onopen = () => events.onOpen()
    socket.onmessage = (message) => {
      if (open && typeof message.data === 'string') events.onMessage(message.data)
    }
    socket.onclose = end
    return {
      send: (text) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(text)
      },
      close: () => {
        socket.close()
        end() // the closing handshake of a dead network takes a minute
      },
    }
  }
}
