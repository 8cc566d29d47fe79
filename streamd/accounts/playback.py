"""Who may watch: everybody in a public room; in a signed one, whoever brings a token of that room.

A token is `EXPIRY-GENERATION-MODE-SIGNATURE`: an HMAC by the installation's secret over the room, the expiry, the
room's generation and, where it is bound, the viewer's address. It needs no table: revoking raises the room's
generation, which voids all tokens of the room, here at once and elsewhere within `POLICY_KEEP_MS`. It is made of
characters that an address carries as they are, so it survives in the child URIs of a playlist.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.node_secret import NodeSecret
from streamd.accounts.slugs import is_slug, unknown_room
from streamd.clock import Clock
from streamd.db.tables import rooms
from streamd.errors import ForbiddenError, InvalidError

Access = Literal["public", "signed"]
PUBLIC: Final = "public"
ACCESSES: Final = ("public", "signed")
POLICY_KEEP_MS = 3_000
LIMIT_COUNT = 50_000
LONGEST_MS: Final = 7 * 24 * 3_600_000
_TOKEN = re.compile(r"(\d{1,12})-(\d{1,9})-([ab])-([A-Za-z0-9_]{27})")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackPolicy:
    """What a room asks of those who watch."""

    access: str
    generation: int


class Playback:
    """Issues and checks. Every coroutine is cancel-safe."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, secret: NodeSecret) -> None:
        self._engine = engine
        self._clock = clock
        self._secret = secret
        # None: there is no such room.
        self._policies: OrderedDict[str, tuple[int, PlaybackPolicy | None]] = OrderedDict()
        self._changes = 0

    async def policy(self, room: str) -> PlaybackPolicy:
        """The room's policy, as it was within `POLICY_KEEP_MS`. Raises NotFoundError."""
        known = self._known(room)
        if known is None:
            changes = self._changes
            known = (self._clock.now_ms(), await self._ask(room))
            if changes == self._changes:
                self._keep(room, known)
        policy = known[1]
        if policy is None:
            raise unknown_room(room)
        return policy

    def is_public(self, room: str) -> bool:
        """Whether the room is known, lately, to be open to all: the answer for nearly every request."""
        known = self._known(room)
        return known is not None and known[1] is not None and known[1].access == PUBLIC

    def _known(self, room: str) -> tuple[int, PlaybackPolicy | None] | None:
        """What is known and not too old.

        When it is, whoever notices first is sent to ask, and the others go on with it meanwhile: a thousand viewers
        reload a playlist at the same moment.
        """
        known = self._policies.get(room)
        if known is None:
            return None
        now_ms = self._clock.now_ms()
        if now_ms - known[0] >= POLICY_KEEP_MS:
            self._policies[room] = (now_ms, known[1])
            return None
        return known

    async def _ask(self, room: str) -> PlaybackPolicy | None:
        if not is_slug(room):
            return None
        query = select(rooms.c.access, rooms.c.playback_generation).where(rooms.c.slug == room)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return PlaybackPolicy(access=row.access, generation=row.playback_generation) if row is not None else None

    def _keep(self, room: str, known: tuple[int, PlaybackPolicy | None]) -> None:
        self._policies[room] = known
        self._policies.move_to_end(room)
        if len(self._policies) > LIMIT_COUNT:
            self._policies.popitem(last=False)

    async def check(self, room: str, token: str, address: str) -> None:
        """Raises NotFoundError (no such room), ForbiddenError (a signed room, and no token that is good for it)."""
        policy = await self.policy(room)
        if policy.access == PUBLIC:
            return
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise _refusal("this room needs a playback token" if not token else "this playback token is damaged")
        expiry_s, generation, mode, signature = parts.groups()
        bound = address if mode == "b" else ""
        expected = self._sign(room, expiry_s, generation, mode, bound)
        if not hmac.compare_digest(signature, expected):
            raise _refusal("this playback token is for another room or another address, or is forged")
        if int(generation) != policy.generation:
            raise _refusal("this playback token was revoked")
        if int(expiry_s) * 1_000 <= self._clock.utc_ms():
            raise _refusal("this playback token has expired")

    async def issue(self, room: str, *, keep_ms: int, address: str = "") -> tuple[str, int]:
        """A token and when it expires; with `address`, for that one only. Raises InvalidError, NotFoundError."""
        if not 1_000 <= keep_ms <= LONGEST_MS:
            raise InvalidError(
                "a playback token cannot be kept for this time", why="it is good for a second to 7 days", code="expiry"
            )
        policy = await self.policy(room)
        expiry_s = (self._clock.utc_ms() + keep_ms) // 1_000
        mode = "b" if address else "a"
        signature = self._sign(room, str(expiry_s), str(policy.generation), mode, address)
        return f"{expiry_s}-{policy.generation}-{mode}-{signature}", expiry_s * 1_000

    async def set_access(self, room: str, access: str) -> None:
        """Open the room to all, or to those with tokens. Raises InvalidError, NotFoundError."""
        if access not in ACCESSES:
            raise InvalidError(f"there is no access {access[:32]!r}", fix="public or signed", code="access")
        await self._change(room, {"access": access})

    async def revoke(self, room: str) -> None:
        """Void every token of the room. Raises NotFoundError."""
        await self._change(room, {"playback_generation": rooms.c.playback_generation + 1})

    async def _change(self, room: str, values: dict[str, object]) -> None:
        async with self._engine.begin() as connection:
            found = await connection.execute(update(rooms).where(rooms.c.slug == room).values(values))
        self._changes += 1
        self._policies.pop(room, None)
        if not found.rowcount:
            raise unknown_room(room)

    def _sign(self, room: str, expiry_s: str, generation: str, mode: str, address: str) -> str:
        signature = self._secret.sign("playback", room, expiry_s, generation, mode, address)[:20]
        # The dash separates the parts.
        return base64.urlsafe_b64encode(signature).decode("ascii").rstrip("=").replace("-", "_")


def _refusal(what: str) -> ForbiddenError:
    return ForbiddenError(what, fix="ask the site that sent you here for a new address", code="playback_token")
