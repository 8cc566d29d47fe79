/**
 * The page's words in the viewer's language.
 *
 * Two languages and no library: a table each, whose keys the compiler checks.
 */
import { computed, watchEffect } from 'vue'

import { remembered } from '@/remembered'

import { en, type MessageKey } from './en'
import { zh } from './zh'

export type { MessageKey } from './en'
export type Language = 'en' | 'zh'

const TABLES: Readonly<Record<Language, Readonly<Record<MessageKey, string>>>> = { en, zh }

/** The first of the browser's languages that the page speaks. */
export function languageOf(preferred: readonly string[]): Language {
  for (const tag of preferred) {
    if (/^zh\b/i.test(tag)) return 'zh'
    if (/^en\b/i.test(tag)) return 'en'
  }
  return 'en'
}

export const language = computed<Language>(() =>
  remembered.language === 'auto' ? languageOf(navigator.languages) : remembered.language,
)

watchEffect(() => {
  document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : 'en'
})

export type Values = Readonly<Record<string, string | number>>

export function t(key: MessageKey, values: Values = {}): string {
  return filled(TABLES[language.value][key], values)
}

/** The words of a page that is loaded by itself: a table each, like the first, which stays small. */
export function wordsFrom<K extends string>(tables: Readonly<Record<Language, Readonly<Record<K, string>>>>) {
  return (key: K, values: Values = {}): string => filled(tables[language.value][key], values)
}

function filled(words: string, values: Values): string {
  return words.replace(/\{(\w+)\}/g, (_whole, name: string) => String(values[name] ?? ''))
}

/** The message for a code the server chose, or null when the page has no words of its own for it. */
export function tCode(prefix: string, code: string): string | null {
  const key = `${prefix}.${code}`
  return key in en ? t(key as MessageKey) : null
}

/** 1 234 as "1,234"; large counts as people read them: 12.3k, 1.2万. */
export function shortCount(count: number): string {
  const locale = language.value === 'zh' ? 'zh-CN' : 'en'
  if (count < 10_000) return new Intl.NumberFormat(locale).format(count)
  return new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 }).format(count)
}

/** Minor units as a price. */
export function price(minor: number, currency: string): string {
  const locale = language.value === 'zh' ? 'zh-CN' : 'en'
  try {
    const format = new Intl.NumberFormat(locale, { style: 'currency', currency, currencyDisplay: 'narrowSymbol' })
    const digits = format.resolvedOptions().maximumFractionDigits ?? 2
    return format.format(minor / 10 ** digits)
  } catch {
    return `${(minor / 100).toFixed(2)} ${currency}` // a currency this browser does not know
  }
}

/** A moment as people arrange to meet: the day, and hours and minutes of the reader's own clock. */
export function dayAndTime(utcMs: number): string {
  return moment(utcMs, { weekday: 'long', month: 'long', day: 'numeric' })
}

/** The same where there is little room. */
export function shortDayAndTime(utcMs: number): string {
  return moment(utcMs, { month: 'short', day: 'numeric' })
}

/** A moment not far away: the time alone, with the day only where that is another one. */
export function soonTime(utcMs: number, nowMs: number): string {
  const sameDay = new Date(utcMs).toDateString() === new Date(nowMs).toDateString()
  return moment(utcMs, sameDay ? {} : { month: 'short', day: 'numeric' })
}

function moment(utcMs: number, day: Intl.DateTimeFormatOptions): string {
  const locale = language.value === 'zh' ? 'zh-CN' : 'en'
  return new Intl.DateTimeFormat(locale, { ...day, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(utcMs)
}

/** Remaining time as m:ss or h:mm:ss. */
export function countdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000))
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3_600)
  const rest = `${two(Math.floor((seconds % 3_600) / 60))}:${two(seconds % 60)}`
  return hours > 0 ? `${hours}:${rest}` : rest
}
