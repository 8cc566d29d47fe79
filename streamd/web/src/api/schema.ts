/**
 * What the server answers to staff, by the names of its OpenAPI document.
 *
 * Only what the pages read. `tests/browser/test_api_types.py` holds each name and type against the document.
 */
export interface VideoView {
  readonly codec: string
  readonly width: number
  readonly height: number
  readonly fps: number
  readonly bitrate_bps: number
  readonly gop_ms: number | null
  readonly b_frames: boolean
  readonly flowing: boolean
}

export interface AudioView {
  readonly codec: string
  readonly sample_rate_hz: number
  readonly channel_count: number
  readonly bitrate_bps: number
  readonly flowing: boolean
}

export interface WarningView {
  readonly code: string
  readonly level: string
  readonly message: string
  readonly message_zh: string
}

export interface StreamView {
  readonly state: string
  readonly started_at_ms: number
  readonly uptime_ms: number
  readonly publications: number
  readonly protocol: string
  readonly encoder: string
  readonly video: VideoView | null
  readonly audio: AudioView | null
  readonly bitrate_bps: number
  readonly pace: number | null
  readonly drift_ms: number
  readonly repairs: Readonly<Record<string, number>>
  readonly warnings: readonly WarningView[]
}

export interface RoomView {
  readonly room: string
  readonly title: string
  readonly owner: string
  readonly on_air: boolean
  readonly announcement: string
  readonly starts_at_ms: number | null
  readonly cover: string | null
  readonly access: string
  readonly cut_until_ms: number
}

export interface RoomPage {
  readonly items: readonly RoomView[]
  readonly next_cursor: string | null
}

export interface StreamKeyView {
  readonly room: string
  readonly stream_key: string
  readonly rtmp_url: string
  readonly whip_url: string
  readonly watch_url: string
}

export interface EncoderView {
  readonly rtmp_url: string
}

export interface RoomMade {
  readonly room: RoomView
  readonly encoder: StreamKeyView
}

export interface CutView {
  readonly until_ms: number
}

export interface PlaybackTokenView {
  readonly token: string
  readonly expires_at_ms: number
}

export interface MembershipView {
  readonly room: string
  readonly title: string
  readonly role: string
}

export interface MembershipList {
  readonly items: readonly MembershipView[]
}

export interface MemberView {
  readonly name: string
  readonly display_name: string
  readonly role: string
}

export interface MemberList {
  readonly items: readonly MemberView[]
}

export interface InvitationView {
  readonly id: number
  readonly room: string
  readonly role: string
  readonly created_by: string
  readonly expires_at_ms: number
  readonly used_at_ms: number | null
  readonly used_by: string | null
  readonly revoked_at_ms: number | null
}

export interface InvitationList {
  readonly items: readonly InvitationView[]
}

export interface InvitationMade {
  readonly invitation: InvitationView
  readonly link: string
}

export interface Speaker {
  readonly id: string
  readonly name: string
  readonly role: string
}

export interface HeldView {
  readonly id: string
  readonly user: Speaker
  readonly text: string
  readonly at_ms: number
}

export interface HeldList {
  readonly items: readonly HeldView[]
}

export interface ChatView {
  readonly slow_mode_ms: number
  readonly muted_all: boolean
  readonly guests_may_speak: boolean
  readonly words: readonly Readonly<Record<string, string>>[]
}

export interface SiteWordsView {
  readonly version: number
  readonly words: readonly Readonly<Record<string, string>>[]
}

export interface AudienceView {
  readonly online: number
  readonly peak: number
  readonly unique: number
  readonly likes: number
  readonly seq: number
  readonly is_alone: boolean
  readonly lagging_here: number
  readonly shed_here: Readonly<Record<string, number>>
}

export interface TrialView {
  readonly action: string
  readonly text: string
  readonly words: readonly string[]
}

export interface SanctionView {
  readonly user_id: string
  readonly until_ms: number
}

export interface UserView {
  readonly id: string
  readonly name: string
  readonly display_name: string
  readonly role: string
  readonly disabled: boolean
  readonly created_at_ms: number
}

export interface UserList {
  readonly items: readonly UserView[]
  readonly next_cursor: string | null
}

export interface PasswordMade {
  readonly name: string
  readonly password: string
}

export interface JobView {
  readonly id: number
  readonly kind: string
  readonly subject: string
  readonly status: string
  readonly due_at_ms: number
  readonly attempts: number
  readonly error: string
}

export interface JobPage {
  readonly items: readonly JobView[]
  readonly next_cursor: number | null
}

export interface AuditEntry {
  readonly seq: number
  readonly at_ms: number
  readonly actor: string
  readonly role: string
  readonly action: string
  readonly room: string
  readonly target: string
  readonly request_id: string
}

export interface AuditPage {
  readonly items: readonly AuditEntry[]
  readonly next_cursor: number | null
}

export interface SaleTerms {
  readonly id: number
  readonly sku_id: number
  readonly price_minor: number
  readonly ends_at_ms: number
  readonly limit: number | null
  readonly left: number
  readonly starts_at_ms?: number | null
}

export interface SkuView {
  readonly id: number
  readonly name: string
  readonly price_minor: number
  readonly original_price_minor: number | null
  readonly base_price_minor: number
  readonly base_original_price_minor: number | null
  readonly stock: number
  readonly buyer_limit: number | null
  readonly is_offered: boolean
  readonly sale: SaleTerms | null
}

export interface ProductView {
  readonly id: number
  readonly title: string
  readonly description: string
  readonly owner: string
  readonly price_minor: number
  readonly currency: string
  readonly original_price_minor: number | null
  readonly stock: number
  readonly status: string
  readonly image: string | null
  readonly version: number
  readonly sale: SaleTerms | null
  readonly skus: readonly SkuView[]
}

export interface ProductPage {
  readonly items: readonly ProductView[]
  readonly next_cursor: number | null
}

export interface CardProduct {
  readonly id: number
  readonly title: string
}

export interface CardView {
  readonly version: number
  readonly at_ms: number
  readonly by: string
  readonly product: CardProduct | null
}

export interface ListingView {
  readonly version: number
  readonly items: readonly ProductView[]
  readonly card: CardView
}

export interface SaleView {
  readonly id: number
  readonly sku_id: number
  readonly price_minor: number
  readonly starts_at_ms: number
  readonly ends_at_ms: number
  readonly quantity: number
  readonly sold: number
  readonly status: string
}

export interface MoneyView {
  readonly currency: string
  readonly ordered_minor: number
  readonly paid_minor: number
  readonly refunded_minor: number
}

export interface ShowView {
  readonly id: number
  readonly started_at_ms: number
  readonly ended_at_ms: number | null
}

export interface ProductBoard {
  readonly id: number
  readonly title: string
  readonly exposures: number
  readonly clicks: number
  readonly orders: number
  readonly units: number
  readonly paid_orders: number
  readonly money: readonly MoneyView[]
}

export interface MinuteBoard {
  readonly at_ms: number
  readonly online_peak: number
  readonly orders: number
  readonly units: number
  readonly messages: number
  readonly likes: number
}

export interface BoardView {
  readonly show: ShowView
  readonly viewers: number
  readonly visits: number
  readonly average_watch_ms: number
  readonly peak: number
  readonly messages: number
  readonly exposures: number
  readonly clicks: number
  readonly orders: number
  readonly buyers: number
  readonly units: number
  readonly paid_orders: number
  readonly refunds: number
  readonly money: readonly MoneyView[]
  readonly products: readonly ProductBoard[]
  readonly minutes: readonly MinuteBoard[]
}
