/**
 * Timers turned by hand, and a breath for promises in between.
 */
import type { Timers } from '@/time/timers'

interface Alarm {
  readonly atMs: number
  readonly run: () => void
}

export class HandTimers implements Timers {
  private now = 0
  private alarms: Alarm[] = []

  nowMs(): number {
    return this.now
  }

  after(delayMs: number, run: () => void): () => void {
    const alarm = { atMs: this.now + delayMs, run }
    this.alarms.push(alarm)
    return () => {
      this.alarms = this.alarms.filter((other) => other !== alarm)
    }
  }

  get waiting(): number {
    return this.alarms.length
  }

  /** Lets time pass; every alarm rings at its time, and promises settle after each. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.now + ms
    await breathe()
    for (;;) {
      const next = this.alarms.filter((alarm) => alarm.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (!next) break
      this.alarms = this.alarms.filter((alarm) => alarm !== next)
      this.now = Math.max(this.now, next.atMs)
      next.run()
      await breathe()
    }
    this.now = untilMs
  }

  /** The device sleeps: time passes and nothing runs until it wakes. */
  sleep(ms: number): void {
    this.now += ms
  }
}

export async function breathe(): Promise<void> {
  for (let turn = 0; turn < 12; turn += 1) await Promise.resolve()
}
