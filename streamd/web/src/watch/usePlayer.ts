/**
 * The live player in a page: made when its element is there, told what the device tells, unmade with the page.
 */
import { onBeforeUnmount, onMounted, shallowRef, watch, type Ref, type ShallowRef } from 'vue'

import { fetchPresence, type StreamStatus } from '@/api/stream'
import { readCapabilities } from '@/player/capabilities'
import { loadEngine, streamAddress } from '@/player/engines/load'
import { waysToPlay } from '@/player/ladder'
import type { ModePreference, PlayerSnapshot } from '@/player/model'
import { LivePlayer } from '@/player/player'
import { remembered } from '@/remembered'
import { api, serverClock } from '@/services'
import { hostTimers } from '@/time/hostTimers'

const BEFORE: PlayerSnapshot = {
  phase: 'loading',
  mode: null,
  hasPicture: false,
  muted: true,
  volume: 1,
  retryAtMs: null,
  lastFailure: null,
}

export interface PagePlayer {
  readonly snapshot: Readonly<ShallowRef<PlayerSnapshot>>
  /** What the server last said of the stream. */
  readonly status: Readonly<ShallowRef<StreamStatus | null>>
  readonly player: Readonly<ShallowRef<LivePlayer | null>>
}

/** `?mode=flv` or `?mode=hls` in the address asks for one way to play on this visit; it is not remembered. */
function askedMode(): ModePreference | null {
  const mode = new URLSearchParams(location.search).get('mode')
  return mode === 'flv' || mode === 'hls' ? mode : null
}

export function usePlayer(
  room: string,
  token: string,
  video: Ref<HTMLVideoElement | null>,
  onFrameLost: () => void,
  /** `silent`: never with sound, whatever the viewer wished for elsewhere. */
  { silent = false }: { silent?: boolean } = {},
): PagePlayer {
  const snapshot = shallowRef(BEFORE)
  const status = shallowRef<StreamStatus | null>(null)
  const player = shallowRef<LivePlayer | null>(null)
  const listeners = new AbortController()

  async function askServer() {
    const presence = await fetchPresence(room, api)
    if (presence.kind === 'known') status.value = presence.status
    return presence
  }

  onMounted(() => {
    const element = video.value
    if (!element) return
    const capabilities = readCapabilities(window, element)
    const made = new LivePlayer(
      {
        video: element,
        address: (mode) => streamAddress(mode, room, location.origin, token),
        loadEngine,
        askServer,
        timers: hostTimers,
        random: Math.random,
        serverNowMs: () => serverClock.nowMs(),
        isHidden: () => document.hidden,
        onChange: (now) => {
          snapshot.value = now
        },
        onFrameLost,
      },
      waysToPlay(askedMode() ?? remembered.mode, capabilities),
      { muted: silent || !remembered.sound, volume: remembered.volume },
    )
    player.value = made
    made.start()
    watch(
      () => remembered.mode,
      (mode) => made.setWays(waysToPlay(mode, capabilities)),
    )
    const on = { signal: listeners.signal }
    document.addEventListener('visibilitychange', () => document.hidden || made.shown(), on)
    addEventListener('online', () => made.nudge(), on)
    addEventListener('pageshow', (event) => event.persisted && made.shown(), on)
  })

  onBeforeUnmount(() => {
    listeners.abort()
    player.value?.stop()
  })

  return { snapshot, status, player }
}
