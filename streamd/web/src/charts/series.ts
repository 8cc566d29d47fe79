/**
 * Figures over time, as a line in a box. Pure.
 *
 * A series holds the latest `limit` figures, null where none was known; a line breaks there instead of falling to zero.
 */
export type Series = readonly (number | null)[]

export function withNext(series: Series, figure: number | null, limit: number): Series {
  return [...series.slice(-(limit - 1)), figure]
}

export interface Box {
  readonly width: number
  readonly height: number
}

export interface Scale {
  readonly low: number
  readonly high: number
}

/** From `floor` (or the least figure) to the greatest, never less than `least` apart: noise must not look like an event. */
export function scaleOf(series: Series, { floor, least }: { floor?: number; least: number }): Scale {
  const figures = series.filter((figure) => figure !== null)
  const greatest = Math.max(...figures, floor ?? -Infinity)
  const smallest = floor ?? Math.min(...figures)
  if (!Number.isFinite(greatest) || !Number.isFinite(smallest)) return { low: 0, high: least }
  const missing = Math.max(0, least - (greatest - smallest))
  if (floor !== undefined) return { low: smallest, high: greatest + missing }
  return { low: smallest - missing / 2, high: greatest + missing / 2 }
}

/** The line as an SVG path; the newest figure at the right edge, whatever the series' length. */
export function linePath(series: Series, limit: number, scale: Scale, { width, height }: Box): string {
  const step = width / Math.max(1, limit - 1)
  const span = scale.high - scale.low || 1
  let path = ''
  let pen = 'M'
  series.forEach((figure, index) => {
    if (figure === null) {
      pen = 'M'
      return
    }
    const x = width - (series.length - 1 - index) * step
    const y = height - ((figure - scale.low) / span) * height
    path += `${pen}${round(x)} ${round(y)}`
    pen = 'L'
  })
  return path
}

/** The surface under the last unbroken stretch of the line. */
export function areaPath(line: string, { height }: Box): string {
  const stretch = line.slice(line.lastIndexOf('M'))
  const points = stretch.slice(1).split('L')
  const first = points[0]?.split(' ')[0]
  const last = points.at(-1)?.split(' ')[0]
  return points.length > 1 ? `${stretch}L${last} ${height}L${first} ${height}Z` : ''
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
