/** The words of studio and admin page. */
import { wordsFrom } from '@/i18n'
import { staffEn, type StaffKey } from '@/i18n/en/staff'
import { staffZh } from '@/i18n/zh/staff'

export type { StaffKey } from '@/i18n/en/staff'

export const w = wordsFrom<StaffKey>({ en: staffEn, zh: staffZh })

/** The words for a code the server chose, or null where there are none. */
export function wCode(prefix: string, code: string): string | null {
  const key = `${prefix}.${code}`
  return key in staffEn ? w(key as StaffKey) : null
}
