"""Writes what attendance counted: visits, minutes of shows, minutes of cards. Sums are added in the database, so that
several nodes count the same show together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.db.board_tables import card_minutes, show_minutes, show_nodes, shows, visits
from streamd.db.shop_tables import room_products
from streamd.db.tables import rooms

_BATCH: Final = 500
# Asked every two seconds by every node, so built once.
_OPEN_SHOWS: Final = (
    select(shows.c.id, rooms.c.slug, shows.c.started_at_ms, room_products.c.product_id)
    .join(rooms, rooms.c.id == shows.c.room_id)
    .outerjoin(room_products, room_products.c.room_id == shows.c.room_id)
    .where(shows.c.open_room_id.is_not(None))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenShow:
    """A programme that runs, and what its room sells."""

    id: int
    room: str
    started_at_ms: int
    products: frozenset[int]


class Ledger:
    """One node's pen. Coroutines raise UnavailableError, SQLAlchemyError; each is whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, node: str) -> None:
        self._engine = engine
        self._node = node

    async def open_shows(self) -> list[OpenShow]:
        """All that run now, on any node."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_OPEN_SHOWS)).all()
        products: dict[int, set[int]] = {}
        for row in rows:
            products.setdefault(row.id, set()).update([] if row.product_id is None else [row.product_id])
        found = {row.id: row for row in rows}
        return [
            OpenShow(id=row.id, room=row.slug, started_at_ms=row.started_at_ms, products=frozenset(products[row.id]))
            for row in found.values()
        ]

    async def add_visits(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """`number`, `show_id`, `viewer`, `joined_at_ms` each; those that were written before stay as they are."""
        mine = [{**row, "node": self._node} for row in rows]
        add = insert(visits).prefix_with("IGNORE", dialect="mysql").prefix_with("OR IGNORE", dialect="sqlite")
        async with self._engine.begin() as connection:
            for start in range(0, len(mine), _BATCH):
                await connection.execute(add, mine[start : start + _BATCH])

    async def end_visits(self, numbers: Sequence[int], *, at_ms: int) -> None:
        """They left."""
        async with self._engine.begin() as connection:
            for start in range(0, len(numbers), _BATCH):
                left = visits.c.number.in_(numbers[start : start + _BATCH])
                change = update(visits).where(visits.c.node == self._node, left)
                await connection.execute(change.values(left_at_ms=at_ms))

    async def add_minute(
        self,
        show_id: int,
        *,
        minute_ms: int,
        seen_at_ms: int,
        online: int,
        likes: int,
        cards: Mapping[int, Sequence[int]],
    ) -> None:
        """Add to a show's minute: most people at a time, hearts, and by product exposures and clicks."""
        minute = {"show_id": show_id, "minute_ms": minute_ms}
        async with self._engine.begin() as connection:
            row = {"show_id": show_id, "node": self._node, "seen_at_ms": seen_at_ms}
            await _upsert(connection, show_nodes, row, replaced=("seen_at_ms",))
            row = {**minute, "online_peak": online, "likes": likes}
            await _upsert(connection, show_minutes, row, added=("likes",), highest=("online_peak",))
            for product, (exposures, clicks) in sorted(cards.items()):
                row = {**minute, "product_id": product, "exposures": exposures, "clicks": clicks}
                await _upsert(connection, card_minutes, row, added=("exposures", "clicks"))


async def _upsert(
    connection: AsyncConnection,
    table: Any,
    row: Mapping[str, Any],
    *,
    added: Sequence[str] = (),
    highest: Sequence[str] = (),
    replaced: Sequence[str] = (),
) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    statement: Any = (sqlite.insert if is_sqlite else mysql.insert)(table).values(row)
    fresh = statement.excluded if is_sqlite else statement.inserted
    greatest = func.max if is_sqlite else func.greatest
    changes = {name: table.c[name] + fresh[name] for name in added}
    changes |= {name: greatest(table.c[name], fresh[name]) for name in highest}
    changes |= {name: fresh[name] for name in replaced}
    if is_sqlite:
        key = [column.name for column in table.primary_key]
        await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))
    else:
        await connection.execute(statement.on_duplicate_key_update(changes))
