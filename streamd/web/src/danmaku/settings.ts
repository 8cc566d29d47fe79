/**
 * What a viewer may choose about the bullets; remembered.
 */
export interface DanmakuSettings {
  on: boolean
  /** 0.2 to 1. */
  opacity: number
  /** Share of the picture's height, from above. */
  area: 0.25 | 0.5 | 0.75 | 1
  speed: 'slow' | 'normal' | 'fast'
  size: 'small' | 'normal' | 'large'
  density: 'few' | 'normal' | 'many'
  /** Messages with one of these words are not shown, neither flying nor in the list. */
  blocked: string[]
}

export const DEFAULT_SETTINGS: DanmakuSettings = {
  on: true,
  opacity: 0.9,
  area: 0.5,
  speed: 'normal',
  size: 'normal',
  density: 'normal',
  blocked: [],
}

export const FONT_PX = { small: 16, normal: 20, large: 26 } as const
export const MOST_ON_SCREEN = { few: 20, normal: 45, many: 80 } as const
const PACE = { slow: 0.7, normal: 1, fast: 1.4 } as const
/** A phone shows the same words on a third of the width: on both they take about as long to pass. */
const CROSSING_S = 8

export function pxPerSecond(settings: DanmakuSettings, widthPx: number): number {
  return Math.min(260, Math.max(80, (widthPx + 300) / CROSSING_S)) * PACE[settings.speed]
}

/** The same words however they are written: full width, capitals, accents composed or not. */
function plain(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}

/** Says whether a message may be shown to this viewer. */
export function keywordFilter(blocked: readonly string[]): (text: string) => boolean {
  const words = blocked.map((word) => plain(word).trim()).filter((word) => word !== '')
  if (words.length === 0) return () => true
  return (text) => {
    const said = plain(text)
    return !words.some((word) => said.includes(word))
  }
}
