"""Danmaku kept for replay and for the law, and sanctions that outlive the process: SQL, on SQLite and MariaDB alike.

Messages are put in a bounded queue on the hot path and inserted many at a time by `run`. What the database does not
take is tried again; when the queue is full the newest are lost, and counted: the room goes on. How long rows are kept
is for whoever calls `forget`. Times are the server's UTC milliseconds, the clock that the players' pictures are
stamped with, so that `replay` for a span of a recording is what was said over that picture.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from danmaku.conduct import Sanction
from danmaku.ports import SpokenMessage
from streamd.clock import Clock
from streamd.db.small_steps import delete_step
from streamd.db.tables import danmaku, sanctions
from streamd.errors import UnavailableError

_MAX_WAITING: Final = 20_000
_BATCH: Final = 500
_FLUSH_S: Final = 0.5
_RETRY_S: Final = 2.0
_LAST_FLUSH_S: Final = 2.0


class DanmakuHistory:
    """The Archive of a node. `run` writes; everything else may be called at any time."""

    def __init__(self, *, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: deque[SpokenMessage] = deque()
        self._marks: deque[tuple[str, list[str], str]] = deque()
        self._wake = asyncio.Event()
        self.written = 0
        self.lost = 0
        self.failures = 0

    def add(self, message: SpokenMessage) -> None:
        """See Archive."""
        if len(self._waiting) >= _MAX_WAITING:
            self.lost += 1
            return
        self._waiting.append(message)
        self._wake.set()

    def mark(self, room: str, message_ids: list[str], status: str) -> None:
        """See Archive."""
        if len(self._marks) >= _MAX_WAITING:
            self.lost += 1
            return
        self._marks.append((room, message_ids, status))
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled, and then what is left, for two seconds. Cancel-safe: yes."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(_FLUSH_S)  # company for the next statement
                try:
                    await self.flush()
                except UnavailableError:
                    self.failures += 1
                    self._wake.set()
                    await asyncio.sleep(_RETRY_S)
        finally:
            await self._last_words()

    async def _last_words(self) -> None:
        try:
            async with asyncio.timeout(_LAST_FLUSH_S):
                await self.flush()
        except (UnavailableError, TimeoutError):
            self.lost += len(self._waiting)

    async def flush(self) -> None:
        """Write all that waits. Raises UnavailableError with the rest still waiting. Cancel-safe: a batch may be
        written twice."""
        while self._waiting:
            count = min(_BATCH, len(self._waiting))
            rows = [_row(self._waiting[index]) for index in range(count)]
            await self._write(lambda connection, rows=rows: connection.execute(insert(danmaku), rows))  # type: ignore[misc]
            for _ in range(count):
                self._waiting.popleft()
            self.written += count
        while self._marks:
            room, message_ids, status = self._marks[0]
            statement = (
                update(danmaku)
                .where(danmaku.c.room == room, danmaku.c.message_id.in_(message_ids[:_BATCH]))
                .values(status=status)
            )
            await self._write(lambda connection, statement=statement: connection.execute(statement))  # type: ignore[misc]
            self._marks.popleft()

    async def _write(self, do: Callable[[AsyncConnection], Any]) -> Any:
        try:
            async with self._engine.begin() as connection:
                return await do(connection)
        except (SQLAlchemyError, OSError) as error:
            raise UnavailableError("The database does not take danmaku", why=str(error)) from error

    async def forget(self, before_ms: int) -> bool:
        """Delete some that were said before then; whether there may be more. Raises UnavailableError."""
        return await delete_step(self._engine, danmaku, danmaku.c.at_ms < before_ms)

    async def replay(self, room: str, *, from_ms: int, to_ms: int, limit: int = 5_000) -> list[RowMapping]:
        """What was shown in a span of time, in order: rows of the table as mappings. Cancel-safe: yes."""
        statement = (
            select(danmaku)
            .where(
                danmaku.c.room == room,
                danmaku.c.at_ms >= from_ms,
                danmaku.c.at_ms < to_ms,
                danmaku.c.status == "shown",
            )
            .order_by(danmaku.c.at_ms, danmaku.c.id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return list((await connection.execute(statement)).mappings().all())

    async def export(self, room: str, *, from_ms: int = 0, to_ms: int = 1 << 52) -> AsyncIterator[RowMapping]:
        """Every row of a room whatever became of it, in order, page by page: nothing is held open in between."""
        at_ms, last_id = from_ms, 0
        while True:
            after = (danmaku.c.at_ms > at_ms) | ((danmaku.c.at_ms == at_ms) & (danmaku.c.id > last_id))
            statement = (
                select(danmaku)
                .where(danmaku.c.room == room, after, danmaku.c.at_ms < to_ms)
                .order_by(danmaku.c.at_ms, danmaku.c.id)
                .limit(_BATCH)
            )
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement)).mappings().all()
            for row in rows:
                yield row
            if len(rows) < _BATCH:
                return
            at_ms, last_id = rows[-1]["at_ms"], rows[-1]["id"]


class SanctionShelf:
    """Mutes and bans in the database: the half of a ConductBook that has no other home."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def load(self, room: str) -> list[Sanction]:
        """Those in force. Cancel-safe: yes."""
        statement = select(sanctions).where(sanctions.c.room == room, sanctions.c.until_ms > self._clock.utc_ms())
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [
            Sanction(
                user_id=row["user_id"],
                kind=row["kind"],
                until_ms=row["until_ms"],
                reason=row["reason"],
                by=row["imposed_by"],
            )
            for row in rows
        ]

    async def save(self, room: str, sanction: Sanction) -> None:
        """Impose, change, or (with an `until_ms` that has passed) lift. Cancel-safe: yes."""
        mine = (
            (sanctions.c.room == room) & (sanctions.c.kind == sanction.kind) & (sanctions.c.user_id == sanction.user_id)
        )
        async with self._engine.begin() as connection:
            await connection.execute(delete(sanctions).where(mine))
            if sanction.until_ms > self._clock.utc_ms():
                row = {"room": room, "kind": sanction.kind, "user_id": sanction.user_id, "until_ms": sanction.until_ms}
                texts = {"reason": sanction.reason[:200], "imposed_by": sanction.by}
                await connection.execute(insert(sanctions), {**row, **texts})


def _row(message: SpokenMessage) -> dict[str, object]:
    return {
        "room": message.room,
        "seq": message.seq,
        "message_id": message.message_id,
        "user_id": message.user_id,
        "user_name": message.user_name[:100],
        "role": message.role,
        "text": message.text[:500],
        "color": message.color,
        "mode": message.mode,
        "at_ms": message.at_ms,
        "status": message.status,
    }
