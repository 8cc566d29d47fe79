"""What remains of a programme when its visits are deleted: the figures that were counted from them.

A step takes one programme: first its figures are written down, then its visits are deleted, then the next.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.board.figures import Board
from streamd.db.board_tables import show_nodes, shows, visits
from streamd.db.small_steps import delete_step
from streamd.db.tables import rooms


class Keeping:
    """Coroutines are cancel-safe."""

    def __init__(self, *, engine: AsyncEngine, board: Board) -> None:
        self._engine = engine
        self._board = board

    async def step(self, before_ms: int) -> bool:
        """Keep the figures of one programme that ended before `before_ms`, or delete some visits of one that are
        kept already; whether there may be more. Raises UnavailableError.
        """
        is_old = shows.c.ended_at_ms < before_ms
        uncounted = select(shows.c.id, rooms.c.slug).join(rooms, rooms.c.id == shows.c.room_id)
        async with self._engine.connect() as connection:
            found = (await connection.execute(uncounted.where(is_old, shows.c.kept_viewers.is_(None)).limit(1))).first()
            if found is None:
                counted = select(visits.c.show_id).join(shows, shows.c.id == visits.c.show_id)
                counted = counted.where(is_old, shows.c.kept_viewers.is_not(None)).limit(1)
                show_id = await connection.scalar(counted)
        if found is not None:
            await self._keep(found.slug, found.id)
            return True
        if show_id is None:
            return await delete_step(self._engine, show_nodes, show_nodes.c.seen_at_ms < before_ms)
        await delete_step(self._engine, visits, visits.c.show_id == show_id)
        return True

    async def _keep(self, room: str, show_id: int) -> None:
        figures = await self._board.figures(room, show_id=show_id)
        kept = {
            "kept_viewers": figures.viewers,
            "kept_visits": figures.visits,
            "kept_watch_ms": figures.watch_ms,
            "kept_messages": figures.messages,
        }
        async with self._engine.begin() as connection:
            await connection.execute(update(shows).where(shows.c.id == show_id).values(kept))
