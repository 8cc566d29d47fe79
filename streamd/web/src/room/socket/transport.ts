/**
 * What the room's socket needs from its host: a way to open one text channel.
 *
 * A browser gives a WebSocket, a mini-program `wx.connectSocket`, a test an object. Nothing else in room/ knows which.
 */
export interface TransportEvents {
  readonly onOpen: () => void
  readonly onMessage: (text: string) => void
  /** Once, and nothing after it; also when the channel could not be opened. */
  readonly onClose: () => void
}

export interface TransportChannel {
  send(text: string): void
  close(): void
}

export type OpenTransport = (events: TransportEvents) => TransportChannel
