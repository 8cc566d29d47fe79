/**
 * The words of a room, as the page uses them.
 */
export type Role = 'admin' | 'host' | 'assistant' | 'moderator' | 'viewer' | 'guest'
export type DanmakuMode = 'scroll' | 'top' | 'bottom'

export interface Person {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly level: number
}

export interface Danmaku {
  /** 0 while the server has not numbered it. */
  readonly seq: number
  readonly id: string
  readonly user: Person
  readonly text: string
  /** `#rrggbb`, or empty for the page's own. */
  readonly color: string
  readonly mode: DanmakuMode
  readonly atMs: number
}

export interface Sale {
  /** 0: it runs. Told while it is announced. */
  readonly startsAtMs: number
  readonly endsAtMs: number
  readonly limit: number | null
}

export interface Product {
  readonly id: string
  readonly title: string
  readonly priceMinor: number
  readonly currency: string
  readonly originalPriceMinor: number | null
  /** Null when the shop does not say. */
  readonly stock: number | null
  /** Address on this server, or empty. */
  readonly image: string
  readonly sale: Sale | null
}

export interface Card {
  readonly seq: number
  readonly atMs: number
  readonly product: Product | null
}

export interface Me extends Person {
  readonly mutedUntilMs: number
}

export interface RoomLimits {
  readonly maxLength: number
  readonly slowModeMs: number
  /** The host has closed the chat to the audience. */
  readonly mutedAll: boolean
  readonly guestsMaySpeak: boolean
}

/** How the server paces messages: the least time between two ticks, and the longest a message may be held to smooth them. */
export interface Pacing {
  readonly refreshMs: number
  readonly maxDelayMs: number
}

export interface Refusal {
  readonly code: string
  /** The server's own words, for codes the page has none for. */
  readonly message: string
  /** 0 when waiting does not help. */
  readonly retryAfterMs: number
}

export interface Sanction {
  readonly kind: string
  readonly reason: string
  readonly untilMs: number
}

/** A message that the host keeps in view. */
export interface Pinned {
  readonly name: string
  readonly text: string
}

export type ChatLine =
  | {
      readonly kind: 'danmaku'
      readonly key: string
      readonly message: Danmaku
      readonly own: boolean
      readonly status: 'shown' | 'sending' | 'refused'
      readonly refusal: Refusal | null
    }
  | { readonly kind: 'order'; readonly key: string; readonly buyer: string; readonly count: number }
  | { readonly kind: 'notice'; readonly key: string; readonly text: string }
  /** Messages that were not shown because the room was too busy. */
  | { readonly kind: 'skipped'; readonly key: string; readonly count: number }

export type LinkState =
  /** Not joined for the first time yet. */
  | 'connecting'
  | 'joined'
  /** Was joined; trying to return. */
  | 'away'
  /** The room will not have us; no more tries. */
  | 'refused'

export interface RoomView {
  readonly link: LinkState
  readonly refusal: Refusal | null
  readonly title: string
  readonly live: boolean | null
  readonly online: number | null
  readonly peak: number | null
  readonly likes: number | null
  readonly card: Card | null
  readonly pinned: Pinned | null
  readonly me: Me | null
  readonly limits: RoomLimits
  readonly sanction: Sanction | null
  readonly lines: readonly ChatLine[]
}

/** What the page asks of a room; the socket client is one, a test's script another. */
export interface RoomClient {
  view(): RoomView
  start(): void
  stop(): void
  /** Resolves with null when the message was taken, else with the reason. */
  say(text: string, style?: { color?: string; mode?: DanmakuMode }): Promise<Refusal | null>
  like(count?: number): void
  /** Somebody signed in or out. */
  rejoin(): void
  /** Something suggests that the network is back, or another one: come back at once, or find out soon whether one still is there. */
  nudge(): void
}
