/**
 * How much of what was played stays in the browser's buffer, and when the rest may go.
 *
 * Why not hls.js's own `backBufferLength`: it removes whenever a new segment begins to play, and 1.7.4 forgets a part that has
 * been loaded and is not appended yet when something is removed in between (fragment-tracker.ts: `onFragLoaded` makes its entry
 * anew, `detectEvictedFragments` takes that for evicted). It then waits for parts that it has, and the picture stands still
 * until they leave the playlist: seconds, about once in two minutes of short parts. So: seldom, and only when the newest part
 * has just been appended, with the next one a part's length away.
 */

/** Of what was played, this much stays. */
const KEEP_S = 30
/** Removed at least this much at a time. */
const STEP_S = 15

export interface Appended {
  /** Of the part or segment that was appended; in seconds, like all here. */
  readonly end: number
  /** Where the playlist ends, as far as is known. */
  readonly edge: number
  readonly bufferStart: number
  readonly position: number
}

/** Up to where the buffer is to be emptied now; null to leave it. */
export function removeUpTo({ end, edge, bufferStart, position }: Appended): number | null {
  const upTo = position - KEEP_S
  const nothingMoreToLoad = end > edge - 0.01
  return nothingMoreToLoad && upTo - bufferStart > STEP_S ? upTo : null
}
