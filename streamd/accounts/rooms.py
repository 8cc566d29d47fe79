"""Rooms: made, listed, looked up.

A room is named by its slug everywhere: in addresses, in logs, on the wire. It is never renamed and never removed, so
that a room which was found once may be taken as known.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.recent import Recent
from streamd.accounts.slugs import check_slug, is_slug, unknown_room
from streamd.accounts.stream_keys import hash_key, new_key
from streamd.clock import Clock
from streamd.db.tables import rooms
from streamd.errors import ConflictError, InvalidError

TITLE_LIMIT = 200
OWNER_LIMIT = 64
UNFIT = {"Cc", "Cs", "Zl", "Zp"}  # control characters, lone surrogates, line and paragraph separators
# Viewers of a name that is no room ask again and again; one who creates the room should not wait for long.
KNOWN_KEEP_MS = 3_000
KNOWN_LIMIT_COUNT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is known of a room, without its key."""

    slug: str
    title: str
    owner: str  # account name; empty while nobody's
    created_at_ms: int
    stream_key_rotated_at_ms: int
    hints: dict[str, Any]  # what was learnt about its encoder


class Rooms:
    """All rooms of this server. Every coroutine is cancel-safe; a cancelled change happens whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: Recent[str, bool] = Recent(clock=clock, keep_ms=KNOWN_KEEP_MS, limit_count=KNOWN_LIMIT_COUNT)

    async def create(
        self, slug: str, *, title: str = "", owner: str = "", stream_key: str | None = None
    ) -> tuple[Room, str]:
        """A new room and its stream key, which is shown this once.

        Raises InvalidError (name, title, key), ConflictError (the name is taken, or the key is another room's).
        """
        check_slug(slug)
        key = stream_key or new_key()
        now_ms = self._clock.utc_ms()
        room = Room(
            slug=slug,
            title=_check_text("title", title.strip() or slug, TITLE_LIMIT),
            owner=_check_text("owner", owner.strip(), OWNER_LIMIT),
            created_at_ms=now_ms,
            stream_key_rotated_at_ms=now_ms,
            hints={},
        )
        row = {column: getattr(room, column) for column in Room.__slots__} | {"stream_key_hash": hash_key(key)}
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(rooms).values(row))
        except IntegrityError as error:
            raise await self._taken(slug) from error
        self._known.put(slug, True)
        return room, key

    async def _taken(self, slug: str) -> ConflictError:
        if await self.exists(slug):
            fix = f"choose another name, or give it a new key: streamd room rotate-key {slug}"
            return ConflictError(f"there is a room {slug!r} already", fix=fix, code="room_exists")
        fix = "leave the key out and one is made for you"
        return ConflictError("this stream key belongs to another room", fix=fix, code="stream_key_taken")

    async def get(self, slug: str) -> Room:
        """One room. Raises NotFoundError."""
        if is_slug(slug):
            async with self._engine.connect() as connection:
                row = (await connection.execute(select(rooms).where(rooms.c.slug == slug))).first()
            if row is not None:
                return _room(row)
        raise unknown_room(slug)

    async def exists(self, slug: str) -> bool:
        """Whether there is such a room; an answer may be `KNOWN_KEEP_MS` old."""
        if not is_slug(slug):
            return False
        known = self._known.get(slug)
        if known is None:
            async with self._engine.connect() as connection:
                found = await connection.execute(select(rooms.c.id).where(rooms.c.slug == slug))
                known = found.first() is not None
            self._known.put(slug, known)
        return known

    async def page(self, *, after: str = "", limit: int, among: Collection[str] | None = None) -> list[Room]:
        """At most `limit` rooms in the order of their names, from behind `after`; with `among`, only those named."""
        query = select(rooms).where(rooms.c.slug > after).order_by(rooms.c.slug).limit(limit)
        if among is not None:
            # Names come from memory: the first `limit` of them are enough, and bound the statement.
            query = query.where(rooms.c.slug.in_(sorted(slug for slug in among if slug > after)[:limit]))
        async with self._engine.connect() as connection:
            return [_room(row) for row in await connection.execute(query)]

    async def remember(self, slug: str, hints: dict[str, Any]) -> None:
        """Keep what was learnt about the room's encoder, in place of what was known. An unknown room is ignored."""
        async with self._engine.begin() as connection:
            await connection.execute(update(rooms).where(rooms.c.slug == slug).values(hints=hints))


def _room(row: Row[Any]) -> Room:
    return Room(**{name: getattr(row, name) for name in Room.__slots__})


def _check_text(what: str, text: str, limit: int) -> str:
    # Not str.isprintable(): that refuses the joiners inside emoji.
    if len(text) <= limit and not any(unicodedata.category(character) in UNFIT for character in text):
        return text
    raise InvalidError(
        f"this {what} cannot be used",
        why=f"a {what} is at most {limit} characters, without line breaks and control characters",
        fix="shorten it, or remove what cannot be printed",
        code=f"room_{what}",
    )
