/**
 * What the page remembers about its viewer: language, colours, sound, way to play, bullets.
 *
 * Promise: one record in localStorage; a missing, foreign or damaged one is replaced by defaults field by field, and a
 * browser that forbids storage loses nothing but the memory. Sessions and tokens are not here.
 */
import { reactive, watch } from 'vue'

import { DEFAULT_SETTINGS, type DanmakuSettings } from '@/danmaku/settings'
import type { ModePreference } from '@/player/model'

export type LanguageChoice = 'auto' | 'zh' | 'en'
export type ThemeChoice = 'system' | 'light' | 'dark'

export interface Remembered {
  language: LanguageChoice
  theme: ThemeChoice
  mode: ModePreference
  /** The viewer has turned the sound on before. */
  sound: boolean
  volume: number
  danmaku: DanmakuSettings
  /** Show a card when the picture reaches its moment, not when it arrives. */
  cardsWithPicture: boolean
}

const KEY = 'streamd.page'

const DEFAULTS: Remembered = {
  language: 'auto',
  theme: 'system',
  mode: 'auto',
  sound: false,
  volume: 1,
  danmaku: DEFAULT_SETTINGS,
  cardsWithPicture: true,
}

const CHOICES: Readonly<Record<string, readonly unknown[]>> = {
  language: ['auto', 'zh', 'en'],
  theme: ['system', 'light', 'dark'],
  mode: ['auto', 'flv', 'hls'],
  area: [0.25, 0.5, 0.75, 1],
  speed: ['slow', 'normal', 'fast'],
  size: ['small', 'normal', 'large'],
  density: ['few', 'normal', 'many'],
}

const RANGES: Readonly<Record<string, readonly [number, number]>> = { volume: [0, 1], opacity: [0.2, 1] }

/** `kept` where it fits, a copy of `otherwise` where it does not. */
export function fitting<T extends object>(kept: unknown, otherwise: T): T {
  const fit = JSON.parse(JSON.stringify(otherwise)) as Record<string, unknown>
  if (typeof kept !== 'object' || kept === null) return fit as T
  for (const [name, standard] of Object.entries(otherwise)) {
    const value = (kept as Record<string, unknown>)[name]
    if (fits(name, value, standard)) fit[name] = isRecord(standard) ? fitting(value, standard) : value
  }
  return fit as T
}

function fits(name: string, value: unknown, standard: unknown): boolean {
  if (Array.isArray(standard)) return Array.isArray(value) && value.every((one) => typeof one === 'string')
  if (typeof value !== typeof standard || value === null) return false
  const choices = CHOICES[name]
  if (choices) return choices.includes(value)
  const range = RANGES[name]
  return !range || (typeof value === 'number' && value >= range[0] && value <= range[1])
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function read(): unknown {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? 'null') as unknown
  } catch {
    return null
  }
}

export const remembered: Remembered = reactive(fitting(read(), DEFAULTS))

watch(remembered, (now) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(now))
  } catch {
    // forbidden or full: the page works without memory
  }
})
