"""What an administrator sees of the jobs, and may do about them: try a dead one again, drop one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.shop_tables import jobs
from streamd.errors import ConflictError, NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSeen:
    """A job as it stands."""

    id: int
    kind: str
    subject: str
    payload: Mapping[str, Any]
    status: str  # waiting, running, done or dead
    due_at_ms: int  # while it runs, when its lease is over
    attempts: int
    error: str
    created_at_ms: int
    finished_at_ms: int | None


class JobDesk:
    """Coroutines are cancel-safe: whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, wake: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._wake = wake

    async def page(self, *, status: str, kind: str, before: int, limit: int) -> list[JobSeen]:
        """Newest first, of those with an id below `before`; empty words restrict nothing."""
        query = select(jobs).where(jobs.c.id < before).order_by(jobs.c.id.desc()).limit(limit)
        if kind:
            query = query.where(jobs.c.kind == kind)
        if status == "running":
            query = query.where(jobs.c.lease != "")
        elif status == "waiting":
            query = query.where(jobs.c.status == status, jobs.c.lease == "")
        elif status:
            query = query.where(jobs.c.status == status)
        async with self._engine.connect() as connection:
            return [_seen(row) for row in await connection.execute(query)]

    async def retry(self, job_id: int) -> JobSeen:
        """Do a dead one again, now. Raises NotFoundError, ConflictError where it is not dead."""
        changes = {"status": "waiting", "due_at_ms": self._clock.utc_ms(), "attempts": 0, "finished_at_ms": None}
        async with self._engine.begin() as connection:
            dead = update(jobs).where(jobs.c.id == job_id, jobs.c.status == "dead")
            if not (await connection.execute(dead.values(changes))).rowcount:
                found = await self._find(connection, job_id)
                raise ConflictError(
                    f"this job is {found.status}",
                    why="only one that was given up is tried again by hand",
                    fix="wait for it",
                    code="job_not_dead",
                )
            found = await self._find(connection, job_id)
        self._wake()
        return found

    async def drop(self, job_id: int) -> None:
        """It is never done. Raises NotFoundError, ConflictError while somebody works at it."""
        async with self._engine.begin() as connection:
            idle = delete(jobs).where(jobs.c.id == job_id, jobs.c.lease == "")
            if not (await connection.execute(idle)).rowcount:
                await self._find(connection, job_id)
                raise ConflictError("this job is being done", fix="drop it when it has failed", code="job_running")

    async def _find(self, connection: AsyncConnection, job_id: int) -> JobSeen:
        row = (await connection.execute(select(jobs).where(jobs.c.id == job_id))).first()
        if row is None:
            raise NotFoundError("there is no such job", fix="see the list of jobs", code="job_unknown")
        return _seen(row)


def _seen(row: Row[Any]) -> JobSeen:
    return JobSeen(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        payload=json.loads(row.payload),
        status="running" if row.lease else row.status,
        due_at_ms=row.due_at_ms,
        attempts=row.attempts,
        error=row.error,
        created_at_ms=row.created_at_ms,
        finished_at_ms=row.finished_at_ms,
    )
