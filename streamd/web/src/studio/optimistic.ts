/**
 * What the page shows before the server has confirmed it.
 *
 * Promise: `view` is what the server is known to hold, with every change that is under way on top of it, in the order they were
 * asked for. A change that fails disappears, and nothing else with it; news from the server (another assistant's doing)
 * moves what lies beneath, and what is under way stays on top. Pure: sending is given.
 */
import type { Result } from '@/api/staff'

export interface Attempt<T, A> {
  /** The change as the page expects it. */
  readonly guess: (now: T) => T
  readonly send: () => Promise<Result<A>>
  /** What the answer makes of what the server was known to hold; without it the guess was right. */
  readonly confirm?: (known: T, answer: A) => T
}

export class Optimistic<T> {
  private readonly underWay = new Set<(now: T) => T>()

  constructor(
    private known: T,
    private readonly onChange: (view: T) => void,
  ) {}

  get view(): T {
    let view = this.known
    for (const guess of this.underWay) view = guess(view)
    return view
  }

  /** The server told of a change. */
  learn(change: (known: T) => T): void {
    this.known = change(this.known)
    this.onChange(this.view)
  }

  async attempt<A>({ guess, send, confirm }: Attempt<T, A>): Promise<Result<A>> {
    // A function of its own: the same change asked for twice is under way twice.
    const mine = (now: T): T => guess(now)
    this.underWay.add(mine)
    this.onChange(this.view)
    const result = await send()
    this.underWay.delete(mine)
    if (result.ok) this.known = confirm ? confirm(this.known, result.body) : guess(this.known)
    this.onChange(this.view)
    return result
  }
}
