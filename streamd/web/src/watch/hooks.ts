/**
 * `window.__streamd`: what load tests and browser tests read from an open watch page.
 *
 * Getters only, nothing here changes anything; documented in the README beside package.json. It exists while a watch page is
 * mounted.
 */
import type { LivePlayer } from '@/player/player'
import type { RoomClient } from '@/room/model'

declare global {
  interface Window {
    __streamd?: object
  }
}

export function exposeHooks(player: LivePlayer, room: RoomClient): () => void {
  const hooks = {
    player: {
      get state() {
        return player.snapshot().phase
      },
      get figures() {
        return player.figures()
      },
      get mode() {
        return player.figures().mode
      },
      get latencyMs() {
        return player.figures().latencyMs
      },
      get firstFrameMs() {
        return player.figures().firstFrameMs
      },
      get stalls() {
        return player.figures().stalls
      },
      get currentTime() {
        return player.figures().currentTime
      },
      get pictureUtcMs() {
        return player.pictureUtcMs()
      },
      get lastFailure() {
        return player.snapshot().lastFailure
      },
    },
    room: {
      get link() {
        return room.view().link
      },
      get online() {
        return room.view().online
      },
      get lines() {
        return room.view().lines.length
      },
    },
  }
  window.__streamd = hooks
  return () => {
    if (window.__streamd === hooks) delete window.__streamd
  }
}
