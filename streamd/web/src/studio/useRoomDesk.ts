/**
 * The room as its staff sees it: what is said, who was silenced, what waits for a word, how it talks, and how it is doing.
 *
 * What a click means is shown at once; what the server refuses comes back, with the reason.
 */
import { computed, onBeforeUnmount, onMounted, ref, shallowReactive, shallowRef } from 'vue'

import { list, number, record } from '@/api/http'
import type { AudienceView, ChatView, HeldList, HeldView, SanctionView } from '@/api/schema'
import { change, read } from '@/api/staff'
import { withNext, type Series } from '@/charts/series'
import type { Danmaku } from '@/room/model'
import { serverClock } from '@/services'
import { useRoom } from '@/watch/useRoom'

import { Optimistic } from './optimistic'
import { done, failed, told } from './toasts'
import { w } from './words'

export type SanctionKind = 'mute' | 'ban'
export const SANCTION_S: Readonly<Record<SanctionKind, number>> = { mute: 600, ban: 86_400 }
/** A point of the lines, and how many there are: the last ten minutes. */
const POINT_MS = 5_000
export const POINTS = 120
const HELD_EVERY_MS = 4_000
const NO_RULES: ChatView = { slow_mode_ms: 0, muted_all: false, guests_may_speak: true, words: [] }

export interface RoomLines {
  readonly online: Series
  readonly said: Series
  readonly likes: Series
  readonly bought: Series
}

export function useRoomDesk(room: string, onNews: (name: string, payload: unknown) => void) {
  const path = `/api/v1/rooms/${encodeURIComponent(room)}`
  const said = { now: 0, likes: 0, bought: 0 }
  const lines = shallowRef<RoomLines>({ online: [], said: [], likes: [], bought: [] })
  const bought = ref(0)
  const { client, view } = useRoom(room, {
    onBullets: () => {},
    onOwn: () => {},
    onRetracted: (ids) => ids.forEach((id) => gone.add(id)),
    onLikes: (count) => (said.likes += count),
    onNews: (name, payload) => {
      if (name === 'danmaku') said.now += list(payload).length
      if (name === 'order') {
        const count = number(record(payload)['count']) ?? 1
        said.bought += count
        bought.value += count
      }
      if (name === 'chat') rules.learn((known) => ({ ...known, ...(record(payload) as Partial<ChatView>) }))
      onNews(name, payload)
    },
  })

  // ---- who was silenced, what was taken back

  const silenced = shallowReactive(new Map<string, SanctionKind>())
  const gone = shallowReactive(new Set<string>())

  async function sanction(kind: SanctionKind, user: { id: string; name: string }): Promise<void> {
    const before = silenced.get(user.id)
    silenced.set(user.id, kind)
    const body = { user_id: user.id, for_s: SANCTION_S[kind] }
    const result = await change<SanctionView>('POST', `${path}/${kind}s`, body)
    if (!result.ok) {
      if (before) silenced.set(user.id, before)
      else silenced.delete(user.id)
      failed(w(`${kind}.failed`, { name: user.name }), result.failure)
      return
    }
    done(w(`${kind}.done`, { name: user.name }), () => void lift(kind, user))
  }

  async function lift(kind: SanctionKind, user: { id: string; name: string }): Promise<void> {
    silenced.delete(user.id)
    const result = await change('DELETE', `${path}/${kind}s/${encodeURIComponent(user.id)}`)
    if (result.ok) return
    silenced.set(user.id, kind)
    failed(w('lift.failed', { name: user.name }), result.failure)
  }

  async function retract(message: Danmaku): Promise<void> {
    gone.add(message.id)
    const result = await change('DELETE', `${path}/messages/${encodeURIComponent(message.id)}`)
    if (result.ok) return
    gone.delete(message.id)
    failed(w('retract.failed'), result.failure)
  }

  // ---- what is kept in view, what is announced

  async function pin(body: { message_id: string } | { text: string }): Promise<boolean> {
    return told(w('pinned.failed'), await change('PUT', `${path}/pinned`, body)) !== null
  }

  async function unpin(): Promise<void> {
    told(w('pinned.failed'), await change('DELETE', `${path}/pinned`))
  }

  async function announce(text: string): Promise<boolean> {
    return told(w('announce.failed'), await change('POST', `${path}/notices`, { text })) !== null
  }

  // ---- what waits

  const held = shallowRef<readonly HeldView[]>([])
  const judged = new Set<string>()

  async function askHeld(): Promise<void> {
    const result = await read<HeldList>(`${path}/held`)
    if (result.ok) held.value = result.body.items.filter((one) => !judged.has(one.id))
  }

  async function judge(message: HeldView, show: boolean): Promise<void> {
    judged.add(message.id)
    held.value = held.value.filter((one) => one.id !== message.id)
    const result = await change('POST', `${path}/held/${encodeURIComponent(message.id)}`, { show })
    if (result.ok) return
    judged.delete(message.id)
    failed(w('held.failed'), result.failure)
    void askHeld()
  }

  // ---- how the room talks

  const rulesView = shallowRef<ChatView>(NO_RULES)
  const rules = new Optimistic<ChatView>(NO_RULES, (now) => (rulesView.value = now))

  async function setRules(changes: Partial<ChatView>): Promise<void> {
    const result = await rules.attempt<ChatView>({
      guess: (now) => ({ ...now, ...changes }),
      send: () => change<ChatView>('PATCH', `${path}/chat`, changes),
      confirm: (_known, answer) => answer,
    })
    if (!result.ok) failed(w('rules.failed'), result.failure)
  }

  // ---- how it is doing

  const audience = shallowRef<AudienceView | null>(null)
  const dropped = computed(() => Object.entries(audience.value?.shed_here ?? {}).filter(([, count]) => count > 0))

  async function askAudience(): Promise<void> {
    const result = await read<AudienceView>(`${path}/audience`)
    if (result.ok) audience.value = result.body
  }

  function point(): void {
    const now = lines.value
    lines.value = {
      online: withNext(now.online, view.value.online, POINTS),
      said: withNext(now.said, (said.now * 60_000) / POINT_MS, POINTS),
      likes: withNext(now.likes, said.likes, POINTS),
      bought: withNext(now.bought, said.bought, POINTS),
    }
    said.now = said.likes = said.bought = 0
    void askAudience()
  }

  const timers: ReturnType<typeof setInterval>[] = []
  onMounted(async () => {
    timers.push(
      setInterval(point, POINT_MS),
      setInterval(() => document.hidden || void askHeld(), HELD_EVERY_MS),
    )
    void askHeld()
    void askAudience()
    const found = await read<ChatView>(`${path}/chat`)
    if (found.ok) rules.learn(() => found.body)
  })
  onBeforeUnmount(() => timers.forEach(clearInterval))

  const say = (text: string) => client.say(text)
  return {
    view,
    say,
    silenced,
    gone,
    sanction,
    lift,
    retract,
    pin,
    unpin,
    announce,
    held,
    judge,
    rules: rulesView,
    setRules,
    audience,
    dropped,
    lines,
    bought,
    nowMs: () => serverClock.nowMs(),
    path,
  }
}

export type RoomDesk = ReturnType<typeof useRoomDesk>
