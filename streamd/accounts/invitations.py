"""Invitations to run a room: a link that makes whoever opens it, signed in, an assistant or moderator; once.

The secret in the link is shown to the inviter and stored as a hash. It belongs behind the `#` of an address, where no
server and no log sees it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.members import Members, put_member, room_id_of
from streamd.accounts.roles import MEMBER_ROLES, check_role
from streamd.accounts.users import User
from streamd.clock import Clock
from streamd.db.tables import invitations, room_members, rooms
from streamd.errors import InvalidError, NotFoundError

SHORTEST_MS: Final = 60_000
LONGEST_MS: Final = 30 * 24 * 3_600_000
LIST_LIMIT_COUNT = 100
# A membership that is more already is not made less by an invitation.
_RANK: Final = {"host": 3, "assistant": 2, "moderator": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Without its secret."""

    id: int
    room: str
    role: str
    created_by: str
    created_at_ms: int
    expires_at_ms: int
    used_at_ms: int | None
    used_by: str | None
    revoked_at_ms: int | None


class Invitations:
    """All invitations. Every coroutine is cancel-safe."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, members: Members) -> None:
        self._engine = engine
        self._clock = clock
        self._members = members

    async def create(self, room: str, *, role: str, by: str, keep_ms: int) -> tuple[Invitation, str]:
        """A new one, and its secret. Raises InvalidError, NotFoundError."""
        check_role(role, MEMBER_ROLES)
        if not SHORTEST_MS <= keep_ms <= LONGEST_MS:
            raise InvalidError(
                "an invitation cannot be kept for this time", why="it is good for a minute to 30 days", code="expiry"
            )
        now_ms = self._clock.utc_ms()
        secret = secrets.token_urlsafe(24)
        async with self._engine.begin() as connection:
            row = {
                "room_id": await room_id_of(connection, room),
                "role": role,
                "token_hash": _hash(secret),
                "created_by": by,
                "created_at_ms": now_ms,
                "expires_at_ms": now_ms + keep_ms,
            }
            await connection.execute(insert(invitations).values(row))
            made = await connection.execute(_query().where(invitations.c.token_hash == row["token_hash"]))
            return _invitation(made.one()), secret

    async def of_room(self, room: str) -> list[Invitation]:
        """The newest `LIST_LIMIT_COUNT`."""
        query = _query().where(rooms.c.slug == room).order_by(invitations.c.id.desc()).limit(LIST_LIMIT_COUNT)
        async with self._engine.connect() as connection:
            return [_invitation(row) for row in await connection.execute(query)]

    async def revoke(self, room: str, invitation_id: int) -> None:
        """Make an open invitation worthless. Raises NotFoundError: no such one, or it is used."""
        async with self._engine.begin() as connection:
            mine = (invitations.c.id == invitation_id) & (invitations.c.room_id == await room_id_of(connection, room))
            is_open = invitations.c.used_at_ms.is_(None) & invitations.c.revoked_at_ms.is_(None)
            change = update(invitations).where(mine, is_open).values(revoked_at_ms=self._clock.utc_ms())
            if not (await connection.execute(change)).rowcount:
                raise _unknown()

    async def accept(self, secret: str, user: User) -> Invitation:
        """Join the room. Raises NotFoundError: unknown, expired, revoked or used, without saying which."""
        now_ms = self._clock.utc_ms()
        mine = invitations.c.token_hash == _hash(secret)
        use = (
            update(invitations)
            .where(mine, invitations.c.used_at_ms.is_(None), invitations.c.revoked_at_ms.is_(None))
            .where(invitations.c.expires_at_ms > now_ms)
            .values(used_at_ms=now_ms, used_by=user.name)
        )
        async with self._engine.begin() as connection:
            # The update decides: of two who open the link at once, one finds it unused.
            if not (await connection.execute(use)).rowcount:
                raise _unknown()
            found = _invitation((await connection.execute(_query().where(mine))).one())
            room_id = await room_id_of(connection, found.room)
            held = select(room_members.c.role).where(
                room_members.c.room_id == room_id, room_members.c.user_id == user.id
            )
            if _RANK.get(await connection.scalar(held) or "", 0) < _RANK[found.role]:
                await put_member(connection, room_id, user.id, found.role, at_ms=now_ms)
        self._members.forget(user.id, found.room)
        return found


def _query() -> Any:
    columns = [column for column in invitations.c if column.name in Invitation.__slots__]
    return select(*columns, rooms.c.slug.label("room")).join(rooms, rooms.c.id == invitations.c.room_id)


def _invitation(row: Row[Any]) -> Invitation:
    return Invitation(**row._mapping)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _unknown() -> NotFoundError:
    return NotFoundError(
        "this invitation is not valid",
        why="it was used, taken back, has expired, or never was",
        fix="ask the host for a new link",
        code="invitation_unknown",
    )
