/**
 * Light or dark: the viewer's choice, else the system's. Sets `data-theme` on the root, which tokens.css reads.
 */
import { computed, ref, watchEffect } from 'vue'

import { remembered } from './remembered'

const systemDark = matchMedia('(prefers-color-scheme: dark)')
const dark = ref(systemDark.matches)
systemDark.addEventListener('change', (event) => {
  dark.value = event.matches
})

export const theme = computed<'light' | 'dark'>(() =>
  remembered.theme === 'system' ? (dark.value ? 'dark' : 'light') : remembered.theme,
)

watchEffect(() => {
  document.documentElement.dataset['theme'] = theme.value
})

/** Follows the system's wish for less motion. */
export const reducedMotion = ref(false)
const still = matchMedia('(prefers-reduced-motion: reduce)')
reducedMotion.value = still.matches
still.addEventListener('change', (event) => {
  reducedMotion.value = event.matches
})
