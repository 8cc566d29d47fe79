/** Moments as the reader's language writes them. */
import { language } from '@/i18n'

const locale = (): string => (language.value === 'zh' ? 'zh-CN' : 'en-GB')

export function timeOf(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'medium' }).format(ms)
}

export function dayOf(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium' }).format(ms)
}
