/**
 * What the room has told, put together.
 *
 * In: `welcome` and events, in the order they came. Out: a view for the page, and the new bullets. Invariants: a numbered
 * event counts once, however often a reconnect repeats it; the list of lines is bounded; one's own message keeps its place
 * when the server confirms it. Pure, free of window and wx.
 */
import type { Card, ChatLine, Danmaku, LinkState, Me, Pacing, Pinned, Refusal, RoomLimits, RoomView, Sanction } from './model'
import {
  fields,
  items,
  NO_LIMITS,
  NO_PACING,
  number,
  readCard,
  readDanmaku,
  readLimits,
  readMe,
  readPacing,
  readPinned,
  readSanction,
  text,
  withNews,
} from './reading'

const MAX_LINES = 200
/** Numbers remembered to tell a repetition from news; a replay is at most 500 events long. */
const MAX_RECENT = 2_000

type DanmakuLine = Extract<ChatLine, { kind: 'danmaku' }>

/** What an event means beyond the view. */
export interface Effects {
  readonly bullets: readonly Danmaku[]
  /** Ids of messages that were taken back. */
  readonly retracted: readonly string[]
  /** Hearts that others sent. */
  readonly likes: number
}

const NOTHING: Effects = { bullets: [], retracted: [], likes: 0 }

export class RoomState {
  link: LinkState = 'connecting'
  refusal: Refusal | null = null
  pacing: Pacing = NO_PACING
  private epoch = ''
  /** The highest number seen. A gap does not raise it: what was left out can still be asked for. */
  private seq = 0
  private readonly recent = new Set<number>()
  /** Facts of the shop are told at least once, so perhaps twice, each time under another `seq`. */
  private readonly facts = new Set<number>()
  private title = ''
  private live: boolean | null = null
  private online: number | null = null
  private peak: number | null = null
  private likes: number | null = null
  private card: Card | null = null
  private pinned: Pinned | null = null
  private me: Me | null = null
  private limits: RoomLimits = NO_LIMITS
  private sanction: Sanction | null = null
  private lines: ChatLine[] = []
  private unnumbered = 0

  /** Where to resume after a break, or null before the first welcome. */
  get position(): { epoch: string; seq: number } | null {
    return this.epoch === '' ? null : { epoch: this.epoch, seq: this.seq }
  }

  welcome(payload: unknown): Effects {
    const said = fields(payload)
    const recovered = said['recovered'] === true && text(said['epoch']) === this.epoch
    this.epoch = text(said['epoch'])
    this.title = text(said['title']) || this.title
    this.live = typeof said['live'] === 'boolean' ? said['live'] : this.live
    this.online = number(said['online'], this.online ?? 0)
    this.likes = number(said['likes'], this.likes ?? 0)
    this.card = readCard(said['card'])
    this.pinned = readPinned(said['pinned'])
    this.me = readMe(said['me'])
    this.limits = readLimits(said['limits'], NO_LIMITS)
    this.pacing = readPacing(said['pacing'])
    this.sanction = null
    if (!recovered) this.beginAgain(number(said['seq']), items(said['history']))
    return NOTHING
  }

  /** Takes one event of the room. Events of names the page does not know are ignored. */
  event(name: string, payload: unknown): Effects {
    if (name === 'danmaku') return this.onDanmaku(items(payload))
    const said = fields(payload)
    if (!this.isNews(number(said['seq']))) return NOTHING
    switch (name) {
      case 'likes':
        this.likes = number(said['total'], this.likes ?? 0)
        return { ...NOTHING, likes: Math.max(0, number(said['delta'])) }
      case 'online':
        this.online = number(said['count'])
        this.peak = number(said['peak'], this.peak ?? 0)
        return NOTHING
      case 'card':
        this.card = readCard(payload)
        return NOTHING
      case 'pinned':
        this.pinned = readPinned(payload)
        return NOTHING
      case 'product':
        if (this.card) this.card = withNews(this.card, payload)
        return NOTHING
      case 'chat':
        this.limits = readLimits(said, this.limits)
        return NOTHING
      case 'live':
        this.live = said['on_air'] === true
        return NOTHING
      case 'retract':
        return { ...NOTHING, retracted: this.onRetract(items(said['ids'])) }
      default:
        this.onSaying(name, said)
        return NOTHING
    }
  }

  private onSaying(name: string, said: Readonly<Record<string, unknown>>): void {
    switch (name) {
      case 'order':
        if (this.isKnownFact(number(said['event_id']))) return
        this.append({ kind: 'order', key: this.key(said), buyer: text(said['buyer']), count: number(said['count'], 1) })
        return
      case 'notice':
        this.append({ kind: 'notice', key: this.key(said), text: text(said['text']) || text(said['message']) })
        return
      case 'gap':
        this.onGap(said)
        return
      case 'sanction':
        this.onSanction(readSanction(said))
    }
  }

  private onSanction(sanction: Sanction): void {
    this.sanction = sanction.untilMs > 0 ? sanction : null // none is left when one was lifted
    if (this.me && sanction.kind === 'mute') this.me = { ...this.me, mutedUntilMs: sanction.untilMs }
  }

  private onDanmaku(list: readonly unknown[]): Effects {
    const bullets: Danmaku[] = []
    for (const one of list) {
      const message = readDanmaku(one)
      if (!this.isNews(message.seq) || this.confirm(message)) continue
      this.append(lineOf(message, message.user.id === this.me?.id && message.user.id !== ''))
      bullets.push(message)
    }
    return { ...NOTHING, bullets }
  }

  private onRetract(ids: readonly unknown[]): string[] {
    const gone = new Set(ids.filter((id) => typeof id === 'string'))
    this.lines = this.lines.filter((line) => line.kind !== 'danmaku' || !gone.has(line.message.id))
    return [...gone]
  }

  private onGap(said: Readonly<Record<string, unknown>>): void {
    const count = Object.values(fields(said['dropped'])).reduce<number>((sum, dropped) => sum + number(dropped), 0)
    const last = this.lines.at(-1)
    // Neighbouring gaps are one to the reader.
    if (last?.kind === 'skipped') this.lines[this.lines.length - 1] = { ...last, count: last.count + count }
    else if (count > 0) this.append({ kind: 'skipped', key: this.key({}), count })
  }

  // ---- one's own messages

  /** One's own words, at once. */
  sending(message: Danmaku): void {
    this.append({ ...lineOf(message, true), status: 'sending' })
  }

  /** The server's verdict on one's own message. */
  judged(id: string, refusal: Refusal | null): void {
    const status = refusal ? 'refused' : 'shown'
    this.replaceOwn(id, (line) => (line.status === 'sending' ? { ...line, status, refusal } : line))
  }

  /** True when this is our own message coming back. */
  private confirm(message: Danmaku): boolean {
    return this.replaceOwn(message.id, (line) => ({ ...line, message, status: 'shown', refusal: null }))
  }

  private replaceOwn(id: string, change: (line: DanmakuLine) => DanmakuLine): boolean {
    const index = this.lines.findIndex((line) => line.kind === 'danmaku' && line.own && line.message.id === id)
    const line = this.lines[index]
    if (line?.kind !== 'danmaku') return false
    this.lines[index] = change(line)
    return true
  }

  // ---- the list

  private beginAgain(seq: number, history: readonly unknown[]): void {
    this.seq = seq
    this.recent.clear()
    const old = history.map(readDanmaku)
    const known = new Set(old.map((message) => message.id))
    const unsettled = this.lines.filter(
      (line) => line.kind === 'danmaku' && line.status !== 'shown' && !known.has(line.message.id),
    )
    this.lines = [...old.map((message) => lineOf(message, message.user.id === this.me?.id)), ...unsettled]
  }

  /**
   * Numbered events count once. By the number itself and not by its order: one's own message that was shown to nobody else has
   * a higher number than the tick it comes before.
   */
  private isNews(seq: number): boolean {
    if (seq === 0) return true
    if (this.recent.has(seq)) return false
    this.recent.add(seq)
    if (this.recent.size > MAX_RECENT) this.recent.delete(this.recent.values().next().value ?? 0)
    this.seq = Math.max(this.seq, seq)
    return true
  }

  private isKnownFact(id: number): boolean {
    if (id === 0) return false
    if (this.facts.has(id)) return true
    this.facts.add(id)
    if (this.facts.size > MAX_RECENT) this.facts.delete(this.facts.values().next().value ?? 0)
    return false
  }

  private append(line: ChatLine): void {
    this.lines.push(line)
    if (this.lines.length > MAX_LINES) this.lines.splice(0, this.lines.length - MAX_LINES)
  }

  private key(said: Readonly<Record<string, unknown>>): string {
    const seq = number(said['seq'])
    return seq > 0 ? `s${seq}` : `u${++this.unnumbered}`
  }

  view(): RoomView {
    return {
      link: this.link,
      refusal: this.refusal,
      title: this.title,
      live: this.live,
      online: this.online,
      peak: this.peak,
      likes: this.likes,
      card: this.card,
      pinned: this.pinned,
      me: this.me,
      limits: this.limits,
      sanction: this.sanction,
      lines: [...this.lines],
    }
  }
}

function lineOf(message: Danmaku, own: boolean): DanmakuLine {
  return { kind: 'danmaku', key: `m${message.id}`, message, own, status: 'shown', refusal: null }
}
