"""Stream keys: made, rotated, and checked when an encoder knocks.

A key is 160 random bits, shown once and stored as its SHA-256: such a key cannot be guessed, so it needs no slow hash,
and a stolen database puts nobody on air. A refusal never says whether the room or the key was wrong.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.recent import Recent
from streamd.accounts.slugs import is_slug, unknown_room
from streamd.clock import Clock
from streamd.db.tables import rooms
from streamd.errors import ForbiddenError, InvalidError, UnauthenticatedError

KEY_SHAPE = re.compile(r"[A-Za-z0-9_-]{4,128}")
# An encoder with an old key tries again every second or two, for days.
REFUSED_KEEP_MS = 2_000
REFUSED_LIMIT_COUNT = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """Whom a key let in."""

    room: str
    principal: str  # the same for every use of the same key; safe to log


def new_key() -> str:
    """160 random bits as 32 characters that survive a URL, a phone call and a double click."""
    return base64.b32encode(secrets.token_bytes(20)).decode("ascii").lower()


def hash_key(key: str) -> str:
    """What is stored of a key. Raises InvalidError when the key could not be one."""
    if not KEY_SHAPE.fullmatch(key):
        raise InvalidError(
            "this stream key cannot be used",
            why="a key is 4 to 128 letters, digits, dashes and underscores",
            fix="leave the key out and one is made for you",
            code="stream_key_shape",
        )
    return hashlib.sha256(key.encode("ascii")).hexdigest()


class StreamKeys:
    """The keys of all rooms."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        # Refusals only: a key that is good is asked for anew every time, so that a rotated one stops working at once.
        self._refused: Recent[tuple[str | None, str], bool] = Recent(
            clock=clock, keep_ms=REFUSED_KEEP_MS, limit_count=REFUSED_LIMIT_COUNT
        )

    async def rotate(self, slug: str) -> str:
        """Give the room a new key; the old one stops working for the next publish. Raises NotFoundError."""
        if not is_slug(slug):
            raise unknown_room(slug)
        key = new_key()
        change = (
            update(rooms)
            .where(rooms.c.slug == slug)
            .values(stream_key_hash=hash_key(key), stream_key_rotated_at_ms=self._clock.utc_ms())
        )
        async with self._engine.begin() as connection:
            if (await connection.execute(change)).rowcount == 0:
                raise unknown_room(slug)
        return key

    async def check(self, key: str, *, room: str | None = None) -> KeyHolder:
        """Whose key this is; with `room`, it must be that room's.

        Raises UnauthenticatedError, whatever is wrong with it; ForbiddenError while the room is cut. Cancel-safe: yes.
        """
        if not KEY_SHAPE.fullmatch(key) or (room is not None and not is_slug(room)):
            raise _refusal()
        hashed = hash_key(key)
        question = (room, hashed)
        if self._refused.get(question):
            raise _refusal()
        wanted = rooms.c.stream_key_hash == hashed if room is None else rooms.c.slug == room
        query = select(rooms.c.slug, rooms.c.stream_key_hash, rooms.c.cut_until_ms).where(wanted)
        async with self._engine.connect() as connection:
            found = (await connection.execute(query)).first()
        if found is None or not hmac.compare_digest(found.stream_key_hash, hashed):
            self._refused.put(question, True)
            raise _refusal()
        if found.cut_until_ms > self._clock.utc_ms():
            raise cut_off(found.slug)
        return KeyHolder(room=found.slug, principal=f"key:{hashed[:16]}")


def cut_off(room: str) -> ForbiddenError:
    """Staff took the room off air."""
    return ForbiddenError(
        f"room {room} was taken off air",
        why="its host or an administrator has cut the stream for some time",
        fix="wait, or have it let in again in the studio",
        code="room_cut",
    )


def _refusal() -> UnauthenticatedError:
    return UnauthenticatedError(
        "this stream key is not valid",
        why="no room has it (any more)",
        fix="copy the key from the studio, or make a new one with `streamd room rotate-key ROOM`",
        code="stream_key_unknown",
    )
