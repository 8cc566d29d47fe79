/**
 * The room's client in a page. The view changes at most ten times a second, however busy the room.
 */
import { onBeforeUnmount, onMounted, shallowRef, watch, type ShallowRef } from 'vue'

import { SocketRoomClient } from '@/room/client'
import type { Danmaku, RoomClient, RoomView } from '@/room/model'
import { browserTransport } from '@/room/socket/browserTransport'
import { serverClock, session, signedIn } from '@/services'
import { hostTimers } from '@/time/hostTimers'

const VIEW_EVERY_MS = 100

export interface RoomListeners {
  readonly onBullets: (bullets: readonly Danmaku[], tickMs: number) => void
  readonly onOwn: (message: Danmaku) => void
  readonly onRetracted: (ids: readonly string[]) => void
  readonly onLikes: (count: number) => void
  readonly onNews?: (name: string, payload: unknown) => void
}

export interface PageRoom {
  readonly client: RoomClient
  readonly view: Readonly<ShallowRef<RoomView>>
}

export function useRoom(room: string, listeners: RoomListeners): PageRoom {
  let due: ReturnType<typeof setTimeout> | null = null
  const client: RoomClient = new SocketRoomClient({
    room,
    token: () => session.token(),
    renewToken: () => session.renew(),
    transport: browserTransport(location.origin),
    timers: hostTimers,
    utcNowMs: () => serverClock.nowMs(),
    random: Math.random,
    onChange: () => {
      due ??= setTimeout(() => {
        due = null
        view.value = client.view()
      }, VIEW_EVERY_MS)
    },
    ...listeners,
  })
  const view = shallowRef(client.view())
  const nudge = (): void => client.nudge()
  const onSight = (): void => {
    if (document.visibilityState === 'visible') nudge()
  }

  watch(
    () => signedIn.value?.id,
    () => client.rejoin(),
  )
  onMounted(() => {
    client.start()
    addEventListener('online', nudge)
    document.addEventListener('visibilitychange', onSight)
  })
  onBeforeUnmount(() => {
    removeEventListener('online', nudge)
    document.removeEventListener('visibilitychange', onSight)
    client.stop()
    if (due !== null) clearTimeout(due)
  })
  return { client, view }
}
