/** The words of buying, which are loaded with it. */
import { wordsFrom } from '@/i18n'
import { shop as en } from '@/i18n/en/shop'
import { shop as zh } from '@/i18n/zh/shop'

export const w = wordsFrom({ en, zh })
/** The message for a code of the server, or null when the page has no words for it. */
export function wCode(code: string): string | null {
  const key = `refused.${code}`
  return key in en ? w(key as keyof typeof en) : null
}
