"""The jobs table: putting in, leasing, giving back. Every change is one guarded statement.

A job is `waiting` until it is `done` or `dead`. Somebody works at it while `lease` is not empty, and until `due_at_ms`:
a worker that dies lets that moment pass, and the job is due again. All that a worker writes is guarded by its lease, so
one that lost it changes nothing any more.

A job that is asked for again while somebody works at it is done once more afterwards (`again_at_ms`): whoever asked may
have changed what the worker had read already.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, case, func, insert, null, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.busy import in_transaction
from streamd.db.shop_tables import jobs

LEASE_MS: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A job that is ours until the lease is over."""

    id: int
    kind: str
    subject: str
    payload: Mapping[str, object]
    attempt: int  # 1, 2, 3 …
    token: str


class JobShelf:
    """See the module's promise."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def put(
        self,
        connection: AsyncConnection,
        *,
        kind: str,
        subject: str,
        payload: Mapping[str, object],
        due_at_ms: int,
    ) -> None:
        """Within the caller's transaction. One of the same kind and subject is replaced, whatever became of it."""
        is_free = jobs.c.lease == ""
        row = self._fresh(kind, subject, payload, due_at_ms)
        # In the order of the columns, which MySQL assigns one after the other: nothing before `lease` changes it.
        changes = {
            "payload": row["payload"],
            "status": "waiting",
            "due_at_ms": case((is_free, due_at_ms), else_=jobs.c.due_at_ms),
            "attempts": case((is_free, 0), else_=jobs.c.attempts),
            "error": "",
            "finished_at_ms": null(),
            "again_at_ms": case((is_free, null()), else_=due_at_ms),
        }
        await self._upsert(connection, row, changes)

    async def put_new(self, connection: AsyncConnection, *, kind: str, due_at_ms: Mapping[str, int]) -> None:
        """Within the caller's transaction: jobs without a payload, by subject. Raises IntegrityError."""
        rows = [self._fresh(kind, subject, {}, due_ms) for subject, due_ms in due_at_ms.items()]
        if rows:
            await connection.execute(insert(jobs), rows)

    async def keep_up(self, *, kind: str, subject: str, every_ms: int) -> None:
        """A recurring job is there, and due within `every_ms`."""
        due_at_ms = self._clock.utc_ms() + every_ms
        row = self._fresh(kind, subject, {}, self._clock.utc_ms())
        is_free = jobs.c.lease == ""
        sooner = case((jobs.c.due_at_ms > due_at_ms, due_at_ms), else_=jobs.c.due_at_ms)
        changes = {"status": "waiting", "due_at_ms": case((is_free, sooner), else_=jobs.c.due_at_ms)}
        await in_transaction(self._engine, lambda connection: self._upsert(connection, row, changes))

    def _fresh(self, kind: str, subject: str, payload: Mapping[str, object], due_at_ms: int) -> dict[str, object]:
        return {
            "kind": kind,
            "subject": subject,
            "payload": json.dumps(payload),
            "status": "waiting",
            "due_at_ms": due_at_ms,
            "created_at_ms": self._clock.utc_ms(),
        }

    async def _upsert(
        self, connection: AsyncConnection, row: Mapping[str, object], changes: Mapping[str, object]
    ) -> None:
        if connection.dialect.name == "sqlite":
            added = sqlite.insert(jobs).values(row)
            await connection.execute(
                added.on_conflict_do_update(index_elements=["kind", "subject"], set_=dict(changes))
            )
        else:
            pairs = list(changes.items())
            await connection.execute(mysql.insert(jobs).values(row).on_duplicate_key_update(pairs))

    async def lease(self, kinds: Sequence[str], *, limit: int) -> tuple[list[Leased], int | None]:
        """Jobs that are due, ours from now on, and when the next one is. Cancel-safe: their leases run out."""
        now_ms = self._clock.utc_ms()
        query = (
            select(jobs)
            .where(jobs.c.status == "waiting", jobs.c.kind.in_(kinds))
            .order_by(jobs.c.due_at_ms, jobs.c.id)
            .limit(limit + 1)
        )
        async with self._engine.connect() as connection:
            found = (await connection.execute(query)).all()
        due = [row for row in found[:limit] if row.due_at_ms <= now_ms]
        next_ms = found[len(due)].due_at_ms if len(found) > len(due) else None
        if not due:
            return [], next_ms

        async def take(connection: AsyncConnection) -> list[Leased | None]:
            return [await self._take(connection, row, now_ms) for row in due]

        taken = await in_transaction(self._engine, take)
        return [job for job in taken if job is not None], next_ms

    async def _take(self, connection: AsyncConnection, row: Row[Any], now_ms: int) -> Leased | None:
        token = secrets.token_hex(16)
        as_seen = (jobs.c.lease == row.lease) & (jobs.c.due_at_ms == row.due_at_ms) & (jobs.c.status == "waiting")
        take = update(jobs).where(jobs.c.id == row.id, as_seen)
        changed = take.values(lease=token, due_at_ms=now_ms + LEASE_MS, attempts=jobs.c.attempts + 1)
        if not (await connection.execute(changed)).rowcount:
            return None  # another worker was quicker
        return Leased(
            id=row.id,
            kind=row.kind,
            subject=row.subject,
            payload=json.loads(row.payload),
            attempt=row.attempts + 1,
            token=token,
        )

    async def renew(self, job: Leased) -> bool:
        """Go on working at it; False when it is somebody else's by now."""
        return await self._change(job, {"due_at_ms": self._clock.utc_ms() + LEASE_MS})

    async def finish(self, job: Leased, *, again_in_ms: int | None = None) -> None:
        """It was done. A recurring one (`again_in_ms`) waits for its next time."""
        now_ms = self._clock.utc_ms()
        if again_in_ms is not None:
            await self._wait(job, due_at_ms=now_ms + again_in_ms, attempts=0, error="")
            return
        is_wanted = jobs.c.again_at_ms.is_not(None)
        changes = {
            "status": case((is_wanted, "waiting"), else_="done"),
            "due_at_ms": func.coalesce(jobs.c.again_at_ms, jobs.c.due_at_ms),
            "lease": "",
            "attempts": case((is_wanted, 0), else_=jobs.c.attempts),
            "error": "",
            "finished_at_ms": case((is_wanted, null()), else_=now_ms),
            "again_at_ms": null(),
        }
        await self._change(job, changes)

    async def put_off(self, job: Leased, *, for_ms: int, error: str) -> None:
        """It failed and is tried again."""
        await self._wait(job, due_at_ms=self._clock.utc_ms() + for_ms, attempts=job.attempt, error=error)

    async def give_back(self, job: Leased) -> None:
        """It was not done, by no fault of its own."""
        await self._wait(job, due_at_ms=self._clock.utc_ms(), attempts=job.attempt - 1, error="")

    async def bury(self, job: Leased, *, error: str) -> None:
        """It failed too often: dead, unless it was asked for again meanwhile."""
        now_ms = self._clock.utc_ms()
        is_wanted = jobs.c.again_at_ms.is_not(None)
        changes = {
            "status": case((is_wanted, "waiting"), else_="dead"),
            "due_at_ms": func.coalesce(jobs.c.again_at_ms, jobs.c.due_at_ms),
            "lease": "",
            "attempts": case((is_wanted, 0), else_=job.attempt),
            "error": error,
            "finished_at_ms": case((is_wanted, null()), else_=now_ms),
            "again_at_ms": null(),
        }
        await self._change(job, changes)

    async def _wait(self, job: Leased, *, due_at_ms: int, attempts: int, error: str) -> None:
        changes = {
            "due_at_ms": func.coalesce(jobs.c.again_at_ms, due_at_ms),
            "lease": "",
            "attempts": case((jobs.c.again_at_ms.is_not(None), 0), else_=attempts),
            "error": error,
            "again_at_ms": null(),
        }
        await self._change(job, changes)

    async def _change(self, job: Leased, changes: Mapping[str, Any]) -> bool:
        mine = update(jobs).where(jobs.c.id == job.id, jobs.c.lease == job.token)

        async def change(connection: AsyncConnection) -> bool:
            return bool((await connection.execute(mine.values(changes))).rowcount)

        return await in_transaction(self._engine, change)
