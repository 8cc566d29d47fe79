"""Watches the event loop: whether it is held up, for everybody waits for it, and how many tasks live on it."""

from __future__ import annotations

import asyncio

from streamd.clock import Clock
from streamd.telemetry.log import Log
from streamd.telemetry.metrics import Metrics

TICK_MS = 100
WORTH_A_LINE_MS = 250
COUNT_EVERY_MS = 2_000  # costs 3 ms with ten thousand tasks
# A stall that lasts is one story: told at most this often.
QUIET_MS = 10_000


async def watch_loop_lag(*, clock: Clock, metrics: Metrics, log: Log) -> None:
    """Measure for ever how late a timer fires; count tasks now and then. Cancel-safe: yes."""
    counted_ms = -COUNT_EVERY_MS
    told_ms = -QUIET_MS
    while True:
        due_ms = clock.now_ms() + TICK_MS
        await asyncio.sleep(TICK_MS / 1_000)
        now_ms = clock.now_ms()
        lag_ms = max(0, now_ms - due_ms)
        metrics.loop_lag_seconds.observe(lag_ms / 1_000)
        if now_ms - counted_ms >= COUNT_EVERY_MS:
            counted_ms = now_ms
            metrics.tasks.set(len(asyncio.all_tasks()))
        if lag_ms >= WORTH_A_LINE_MS and now_ms - told_ms >= QUIET_MS:
            told_ms = now_ms
            log.warning("loop.held_up", lag_ms=lag_ms)
