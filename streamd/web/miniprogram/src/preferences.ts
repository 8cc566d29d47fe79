/**
 * What the mini-program remembers about its viewer: language, bullets, the way to play, and rooms seen.
 *
 * Promise: never throws; what is missing or damaged is the default, and storage that is full loses only the memory.
 */
import type { SessionStorage } from '@/account/session'
import { list, record, text } from '@/api/http'

import type { Language } from './words'

export interface Seen {
  readonly room: string
  readonly title: string
}

export interface Preferences {
  readonly language: 'auto' | Language
  readonly danmaku: boolean
  readonly player: 'live' | 'video'
  readonly seen: readonly Seen[]
}

const KEY = 'streamd.preferences'
const MAX_SEEN = 20

export class PreferenceBook {
  private now: Preferences

  constructor(
    private readonly storage: SessionStorage,
    private readonly player: 'live' | 'video',
  ) {
    this.now = this.read()
  }

  get(): Preferences {
    return this.now
  }

  set(change: Partial<Preferences>): void {
    this.now = { ...this.now, ...change }
    try {
      this.storage.setItem(KEY, JSON.stringify(this.now))
    } catch {
      // full: it holds for as long as the mini-program runs
    }
  }

  saw(room: Seen): void {
    this.set({ seen: [room, ...this.now.seen.filter((one) => one.room !== room.room)].slice(0, MAX_SEEN) })
  }

  private read(): Preferences {
    let kept: Readonly<Record<string, unknown>> = {}
    try {
      kept = record(JSON.parse(this.storage.getItem(KEY) ?? 'null'))
    } catch {
      // damaged: as if there were none
    }
    const language = kept['language']
    const seen = list(kept['seen']).map((one) => ({ room: text(record(one)['room']), title: text(record(one)['title']) }))
    return {
      language: language === 'zh' || language === 'en' ? language : 'auto',
      danmaku: kept['danmaku'] !== false,
      // Where the category does not allow live-player, there is nothing to choose.
      player: this.player === 'video' || kept['player'] === 'video' ? 'video' : 'live',
      seen: seen.filter((one) => one.room !== ''),
    }
  }
}
