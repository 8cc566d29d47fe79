/** How patient the live player is, and with what. */

/** How often it looks how things stand. */
export const TICK_MS = 250
/** Connected and nothing to see for this long: this way does not work here. */
export const NO_PICTURE_MS = 6_000
/** A picture that stands still for this long: this way is given up. */
export const STALL_LIMIT_MS = 4_500
/** From then on it is worth asking whether the host is still there. */
export const STALL_ASK_MS = 1_200
/** A stall shorter than this is not worth a word. */
export const SHOW_STALL_MS = 700
/** The stream is live again and the old engine may notice by itself: wait so long before starting a new one. */
export const RESUME_GRACE_MS = 1_500
/** Paused longer than this, the engine is let go: it would go on loading. */
export const PAUSE_KEEPS_ENGINE_MS = 10_000
/** A tick this late means that the device slept. */
export const SLEPT_MS = 5_000
/** "Not found" though live, so often in a row: the first part is still being written. */
export const NOT_FOUND_PATIENCE = 6
/** Having played this long, the next failure is a new story. */
export const STEADY_MS = 5_000
/** Between attempts, doubling. */
export const RETRY = { firstMs: 250, capMs: 5_000, jitter: 0.3 }
