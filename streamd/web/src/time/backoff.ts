/**
 * How long to wait before trying again.
 *
 * Promise: grows by half each time from `firstMs` to `capMs`, spread by ±`jitter` so that a thousand pages that lost the
 * same server do not return in the same instant.
 */
export interface BackoffShape {
  readonly firstMs: number
  readonly capMs: number
  /** Share of the delay that is left to chance, 0 to 1. */
  readonly jitter: number
}

/** Delay before attempt number `attempt` (0 for the first); `random` gives 0 ≤ x < 1. */
export function backoffMs(attempt: number, shape: BackoffShape, random: () => number): number {
  const steady = Math.min(shape.capMs, shape.firstMs * 1.5 ** Math.min(attempt, 32))
  return Math.round(steady * (1 + shape.jitter * (2 * random() - 1)))
}
