/**
 * The card, when the viewer sees its moment.
 *
 * The server stamps a card with the UTC at which it was shown to the host; the picture is behind that by its latency. A card
 * waits until the picture has reached it, never longer than `LONGEST_MS`, and not at all when the viewer has
 * switched that off or the picture's time is unknown. Taking a card away waits likewise.
 */
import { onBeforeUnmount, shallowRef, watch, type ShallowRef } from 'vue'

import { remembered } from '@/remembered'
import type { Card } from '@/room/model'

const LONGEST_MS = 8_000

export function waitMs(card: Card | null, pictureUtcMs: number | null): number {
  if (!card || card.atMs === 0 || pictureUtcMs === null) return 0
  const ahead = card.atMs - pictureUtcMs
  return ahead > 0 && ahead <= LONGEST_MS ? ahead : 0
}

export function useHeldCard(newest: () => Card | null, pictureUtcMs: () => number | null): ShallowRef<Card | null> {
  const shown = shallowRef<Card | null>(newest())
  let alarm: ReturnType<typeof setTimeout> | undefined

  watch(newest, (card) => {
    clearTimeout(alarm)
    // News of the card that is shown already (its price, its stock) is not held back.
    const same = card?.product?.id === shown.value?.product?.id
    const delayMs = same || !remembered.cardsWithPicture ? 0 : waitMs(card, pictureUtcMs())
    if (delayMs === 0) shown.value = card
    else alarm = setTimeout(() => (shown.value = card), delayMs)
  })
  onBeforeUnmount(() => clearTimeout(alarm))
  return shown
}
