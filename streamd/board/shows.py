"""Which programmes there were: one row each, from its first frame until its encoder has been gone for the grace time.

In: what happens to streams, synchronously, in order; `run` writes it down. A programme goes on across a pause, and
across a restart of the process or a move to another one, as long as it was seen within `CONTINUE_MS`. One whose process
died for good ends when it was last seen.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Final, Literal

from sqlalchemy import insert, null, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.board_tables import shows
from streamd.db.tables import rooms
from streamd.errors import StreamdError
from streamd.telemetry.log import Log

CONTINUE_MS: Final = 600_000
_SEEN_EVERY_S: Final = 5.0
_SWEEP_EVERY_MS: Final = 60_000
_PATIENCE_S: Final = 1.0
_MAX_WAITING: Final = 10_000

Turn = Literal["on_air", "over"]


class ShowBook:
    """See the module's promise."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, log: Log) -> None:
        self._engine = engine
        self._clock = clock
        self._log = log
        self._node = secrets.token_hex(8)
        self._waiting: deque[tuple[Turn, str, int]] = deque(maxlen=_MAX_WAITING)
        self._carried: dict[str, int] = {}  # room: the show that runs here
        self._swept_ms = 0
        self._news = asyncio.Event()
        # A programme began or ended; behind the commit.
        self.changed = asyncio.Event()

    def hear(self, turn: Turn, room: str, at_ms: int) -> None:
        """A programme is on air (again), or over. Never blocks."""
        self._waiting.append((turn, room, at_ms))
        self._news.set()

    async def run(self) -> None:
        """Write down, for ever. Cancel-safe: yes."""
        while True:
            try:
                await self.write()
                async with asyncio.timeout(_SEEN_EVERY_S):
                    await self._news.wait()
            except TimeoutError:
                continue
            except (StreamdError, SQLAlchemyError, OSError) as error:
                self._log.warning("board.shows_not_written", reason=str(error))
                await asyncio.sleep(_PATIENCE_S)

    async def write(self) -> None:
        """What was heard, and what still runs. Raises UnavailableError, SQLAlchemyError with the rest still waiting."""
        self._news.clear()
        while self._waiting:
            turn, room, at_ms = self._waiting[0]
            async with self._engine.begin() as connection:
                if turn == "on_air":
                    await self._begin(connection, room, at_ms)
                else:
                    await self._end(connection, room, at_ms)
            self._waiting.popleft()
            self.changed.set()
        now_ms, running = self._clock.utc_ms(), shows.c.open_room_id.is_not(None)
        if self._carried:
            mine = update(shows).where(shows.c.id.in_(self._carried.values()), shows.c.node == self._node, running)
            async with self._engine.begin() as connection:
                await connection.execute(mine.values(seen_at_ms=now_ms))
        if now_ms - self._swept_ms >= _SWEEP_EVERY_MS:
            self._swept_ms = now_ms
            lost = update(shows).where(running, shows.c.seen_at_ms < now_ms - CONTINUE_MS)
            async with self._engine.begin() as connection:
                await connection.execute(lost.values(open_room_id=null(), ended_at_ms=shows.c.seen_at_ms))

    async def _begin(self, connection: AsyncConnection, room: str, at_ms: int) -> None:
        found = (await connection.execute(select(rooms.c.id, rooms.c.title).where(rooms.c.slug == room))).first()
        if found is None:
            return
        running = shows.c.open_room_id == found.id
        recent = update(shows).where(running, shows.c.seen_at_ms >= at_ms - CONTINUE_MS)
        if not (await connection.execute(recent.values(node=self._node, seen_at_ms=at_ms))).rowcount:
            over = update(shows).where(running)
            await connection.execute(over.values(open_room_id=null(), ended_at_ms=shows.c.seen_at_ms))
            row = {"room_id": found.id, "open_room_id": found.id, "title": found.title, "node": self._node}
            try:
                await connection.execute(insert(shows).values(**row, started_at_ms=at_ms, seen_at_ms=at_ms))
            except IntegrityError:
                return  # another process took the programme over in this very moment
        self._carried[room] = int(await connection.scalar(select(shows.c.id).where(running)) or 0)

    async def _end(self, connection: AsyncConnection, room: str, at_ms: int) -> None:
        show = self._carried.pop(room, None)
        if show is None:
            return
        # Not one that another process carries by now.
        mine = update(shows).where(shows.c.id == show, shows.c.node == self._node, shows.c.open_room_id.is_not(None))
        await connection.execute(mine.values(open_room_id=null(), ended_at_ms=at_ms, seen_at_ms=at_ms))
