"""Who runs which room: host, assistant, moderator. Everybody else is a viewer there.

The answer to "what is this person here" may be `KNOWN_KEEP_MS` old in another process; in this one it never is.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.accounts.recent import Recent
from streamd.accounts.roles import MEMBER_ROLES, VIEWER, check_role
from streamd.accounts.slugs import is_slug, unknown_room
from streamd.accounts.users import user_id_of
from streamd.clock import Clock
from streamd.db.tables import room_members, rooms, users
from streamd.errors import ConflictError, NotFoundError

KNOWN_KEEP_MS = 5_000
KNOWN_LIMIT_COUNT = 100_000
ROOM_LIMIT_COUNT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """One person in one room."""

    user_id: int
    name: str
    display_name: str
    room: str
    title: str
    role: str
    added_at_ms: int


class Members:
    """All memberships. Every coroutine is cancel-safe."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: Recent[tuple[int, str], str] = Recent(
            clock=clock, keep_ms=KNOWN_KEEP_MS, limit_count=KNOWN_LIMIT_COUNT
        )
        # Counts changes, so that an answer that was under way during one is not remembered.
        self._changes = 0

    async def role(self, user_id: int, room: str) -> str:
        """Host, assistant, moderator or viewer; viewer too where there is no such room."""
        known = self._known.get((user_id, room))
        if known is None:
            changes = self._changes
            known = await self._look(user_id, room) if is_slug(room) else VIEWER
            if changes == self._changes:
                self._known.put((user_id, room), known)
        return known

    async def _look(self, user_id: int, room: str) -> str:
        query = (
            select(room_members.c.role)
            .join(rooms, rooms.c.id == room_members.c.room_id)
            .where(room_members.c.user_id == user_id, rooms.c.slug == room)
        )
        async with self._engine.connect() as connection:
            found: str | None = await connection.scalar(query)
        return found or VIEWER

    async def of_room(self, room: str) -> list[Membership]:
        """Those who run the room, in the order of their names (at most `ROOM_LIMIT_COUNT`)."""
        return await self._list(rooms.c.slug == room)

    async def of_user(self, user_id: int) -> list[Membership]:
        """The rooms that somebody runs, by their names (at most `ROOM_LIMIT_COUNT`)."""
        return await self._list(room_members.c.user_id == user_id)

    async def _list(self, condition: object) -> list[Membership]:
        query = (
            select(
                room_members.c.user_id,
                users.c.name,
                users.c.display_name,
                rooms.c.slug.label("room"),
                rooms.c.title,
                room_members.c.role,
                room_members.c.added_at_ms,
            )
            .join(rooms, rooms.c.id == room_members.c.room_id)
            .join(users, users.c.id == room_members.c.user_id)
            .where(condition)  # type: ignore[arg-type]
            .order_by(rooms.c.slug, users.c.name)
            .limit(ROOM_LIMIT_COUNT)
        )
        async with self._engine.connect() as connection:
            return [Membership(**row._mapping) for row in await connection.execute(query)]

    async def put(self, room: str, name: str, role: str) -> None:
        """Give somebody a role in a room, in place of the one they have. Raises InvalidError, NotFoundError."""
        check_role(role, MEMBER_ROLES)
        try:
            await self._put(room, name, role)
        except IntegrityError:
            await self._put(room, name, role)  # another one was quicker: now there is a row to change

    async def _put(self, room: str, name: str, role: str) -> None:
        async with self._engine.begin() as connection:
            room_id = await room_id_of(connection, room)
            user_id = await user_id_of(connection, name)
            await put_member(connection, room_id, user_id, role, at_ms=self._clock.utc_ms())
        self.forget(user_id, room)

    async def remove(self, room: str, name: str) -> None:
        """Make somebody a viewer again.

        Raises NotFoundError, ConflictError: a room keeps its last host.
        """
        async with self._engine.begin() as connection:
            room_id = await room_id_of(connection, room)
            user_id = await user_id_of(connection, name)
            mine = (room_members.c.room_id == room_id) & (room_members.c.user_id == user_id)
            if not (await connection.execute(delete(room_members).where(mine))).rowcount:
                raise NotFoundError(f"{name} has no role in room {room}", fix="see who has", code="member_unknown")
            hosts = select(room_members.c.user_id).where(
                room_members.c.room_id == room_id, room_members.c.role == "host"
            )
            if (await connection.execute(hosts)).first() is None:
                raise ConflictError(
                    f"{name} is the last host of room {room}", fix="make somebody else host first", code="last_host"
                )
        self.forget(user_id, room)

    def forget(self, user_id: int, room: str) -> None:
        """Somebody's role has changed."""
        self._changes += 1
        self._known.forget((user_id, room))


async def put_member(connection: AsyncConnection, room_id: int, user_id: int, role: str, *, at_ms: int) -> None:
    """Insert or change, within a transaction of the caller's. Raises IntegrityError when another one is as quick."""
    mine = (room_members.c.room_id == room_id) & (room_members.c.user_id == user_id)
    if not (await connection.execute(update(room_members).where(mine).values(role=role))).rowcount:
        row = {"room_id": room_id, "user_id": user_id, "role": role, "added_at_ms": at_ms}
        await connection.execute(insert(room_members).values(row))


async def room_id_of(connection: AsyncConnection, room: str) -> int:
    """The id behind a room's name, within a transaction of the caller's. Raises NotFoundError."""
    if is_slug(room):
        found: int | None = await connection.scalar(select(rooms.c.id).where(rooms.c.slug == room))
        if found is not None:
            return found
    raise unknown_room(room)
