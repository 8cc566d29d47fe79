"""Rooms: made, listed, looked up.

A room is named by its slug everywhere: in addresses, in logs, on the wire. It is never renamed and never removed, so
that a room which was found once may be taken as known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.members import put_member
from streamd.accounts.recent import Recent
from streamd.accounts.roles import HOST
from streamd.accounts.slugs import check_slug, is_slug, unknown_room
from streamd.accounts.stream_keys import cut_off, hash_key, new_key
from streamd.accounts.texts import check_text
from streamd.accounts.users import user_id_of
from streamd.clock import Clock
from streamd.db.tables import rooms
from streamd.errors import ConflictError, InvalidError

TITLE_LIMIT = 200
ANNOUNCEMENT_LIMIT = 1_000
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
    announcement: str = ""
    starts_at_ms: int | None = None  # of the next show
    cover: str | None = None  # a picture's id
    access: str = "public"  # or signed: see `playback`
    cut_until_ms: int = 0


class Rooms:
    """All rooms of this server. Every coroutine is cancel-safe; a cancelled change happens whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: Recent[str, bool] = Recent(clock=clock, keep_ms=KNOWN_KEEP_MS, limit_count=KNOWN_LIMIT_COUNT)

    async def create(
        self, slug: str, *, title: str = "", owner: str = "", stream_key: str | None = None
    ) -> tuple[Room, str]:
        """A new room and its stream key, which is shown this once. The owner, an account, becomes its host.

        Raises InvalidError (name, title, key), NotFoundError (no such account), ConflictError (the name is taken, or
        the key is another room's).
        """
        check_slug(slug)
        key = stream_key or new_key()
        now_ms = self._clock.utc_ms()
        room = Room(
            slug=slug,
            title=check_text("title", title.strip() or slug, TITLE_LIMIT, code="room_title"),
            owner=owner,
            created_at_ms=now_ms,
            stream_key_rotated_at_ms=now_ms,
            hints={},
        )
        row = {column: getattr(room, column) for column in Room.__slots__} | {"stream_key_hash": hash_key(key)}
        try:
            async with self._engine.begin() as connection:
                owner_id = await user_id_of(connection, owner) if owner else None
                made = await connection.execute(insert(rooms).values(row))
                if owner_id is not None and made.inserted_primary_key:
                    await put_member(connection, made.inserted_primary_key[0], owner_id, HOST, at_ms=now_ms)
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

    async def change(
        self, slug: str, *, title: str | None = None, announcement: str | None = None, starts_at_ms: int | None = -1
    ) -> Room:
        """Say something else of the room: what is None (a beginning of -1) stays.

        Raises InvalidError, NotFoundError.
        """
        values: dict[str, Any] = {}
        if title is not None:
            # The name itself is no title to complain of: a room with a strange one is not there.
            values["title"] = check_text("title", title.strip(), TITLE_LIMIT, code="room_title") or slug
        if announcement is not None:
            lines = announcement.strip()
            for line in lines.split("\n"):
                check_text("announcement", line, ANNOUNCEMENT_LIMIT, code="room_announcement")
            if len(lines) > ANNOUNCEMENT_LIMIT:
                raise InvalidError(
                    "this announcement is too long",
                    why=f"{ANNOUNCEMENT_LIMIT} characters fit",
                    code="room_announcement",
                )
            values["announcement"] = lines
        if starts_at_ms != -1:
            values["starts_at_ms"] = starts_at_ms
        if values:
            await self._change(slug, values)
        return await self.get(slug)

    async def set_cover(self, slug: str, picture: str | None) -> None:
        """Another picture, or none. Raises NotFoundError."""
        await self._change(slug, {"cover": picture})

    async def cut(self, slug: str, *, until_ms: int) -> None:
        """Let no encoder in before `until_ms` (0: let them in again). Raises NotFoundError."""
        await self._change(slug, {"cut_until_ms": until_ms})

    async def refuse_while_cut(self, slug: str) -> None:
        """Raises ForbiddenError while the room is cut, NotFoundError."""
        room = await self.get(slug)
        if room.cut_until_ms > self._clock.utc_ms():
            raise cut_off(slug)

    async def _change(self, slug: str, values: dict[str, Any]) -> None:
        if not is_slug(slug):
            raise unknown_room(slug)
        async with self._engine.begin() as connection:
            if not (await connection.execute(update(rooms).where(rooms.c.slug == slug).values(values))).rowcount:
                raise unknown_room(slug)

    # --- how the room talks, as the chat writes it ---

    async def chat(self, slug: str) -> dict[str, Any]:
        """What was saved last; empty while nothing was. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(rooms.c.chat).where(rooms.c.slug == slug))).first()
        if row is None:
            raise unknown_room(slug)
        return dict(row.chat or {})

    async def save_chat(self, slug: str, chat: Mapping[str, Any]) -> None:
        """Replace what was saved. Raises NotFoundError."""
        await self._change(slug, {"chat": dict(chat)})

    async def remember(self, slug: str, hints: dict[str, Any]) -> None:
        """Keep what was learnt about the room's encoder, in place of what was known. An unknown room is ignored."""
        async with self._engine.begin() as connection:
            await connection.execute(update(rooms).where(rooms.c.slug == slug).values(hints=hints))


def _room(row: Row[Any]) -> Room:
    return Room(**{name: getattr(row, name) for name in Room.__slots__})
