/** The words of the admin page. */
import { wordsFrom } from '@/i18n'
import { adminEn, type AdminKey } from '@/i18n/en/admin'
import { adminZh } from '@/i18n/zh/admin'

export const a = wordsFrom<AdminKey>({ en: adminEn, zh: adminZh })

export type { AdminKey } from '@/i18n/en/admin'
