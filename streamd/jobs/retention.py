"""Nothing is kept for longer than it is needed: a recurring job that takes small steps until each part is done.

Every part brings a step: it deletes some of what is too old and says whether there may be more. Between two steps
others get their turn. A part that fails is tried with the next round, and does not keep the others from theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.clock import Clock
from streamd.db.shop_tables import jobs
from streamd.db.small_steps import delete_step
from streamd.errors import StreamdError
from streamd.telemetry.log import Log

KIND: Final = "retention"
EVERY_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
_PAUSE_S: Final = 0.05

# Deletes some of what is older than that many UTC milliseconds; whether there may be more.
Step = Callable[[int], Awaitable[bool]]


class Retention:
    """The handler. `parts`: by name, for how long things are kept, and the step."""

    def __init__(
        self, *, clock: Clock, log: Log, parts: Mapping[str, tuple[int, Step]], pause_s: float = _PAUSE_S
    ) -> None:
        self._clock = clock
        self._log = log
        self._parts = dict(parts)
        self._pause_s = pause_s

    async def __call__(self, subject: str, payload: Mapping[str, object]) -> None:  # noqa: ARG002 - a handler's shape
        """One round of everything. Cancel-safe: yes."""
        for name, (keep_ms, step) in self._parts.items():
            try:
                await self._finish(name, keep_ms, step)
            except (StreamdError, SQLAlchemyError, OSError) as error:
                self._log.warning("retention.failed", part=name, reason=str(error))

    async def _finish(self, name: str, keep_ms: int, step: Step) -> None:
        before_ms, steps = self._clock.utc_ms() - keep_ms, 1
        while await step(before_ms):
            steps += 1
            await asyncio.sleep(self._pause_s)
        self._log.debug("retention.done", part=name, steps=steps)


def finished_jobs(engine: AsyncEngine) -> Step:
    """Of the jobs themselves: those that were done. Dead ones wait for a person."""

    async def step(before_ms: int) -> bool:
        return await delete_step(engine, jobs, (jobs.c.status == "done") & (jobs.c.due_at_ms < before_ms))

    return step
