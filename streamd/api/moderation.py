"""Order in a room: who may not speak or come in, what is taken back, what waits for a moderator's word.

Nobody sanctions, or lets off, somebody of the same or a higher rank: admin, host, assistant, moderator, viewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, Field

from streamd.api.bodies import WHOLE, Body, Line
from streamd.api.permissions import Actor, require
from streamd.api.routes import Handler, Route
from streamd.clock import Clock
from streamd.errors import NotFoundError

_ORDER = require("host", "assistant", "moderator", room="room")
_TEN_YEARS_S = 10 * 365 * 24 * 3_600


class Orderly(Protocol):
    """What keeps order in the rooms."""

    async def sanction(
        self, room: str, *, user_id: str, kind: str, until_ms: int, reason: str, by: str, by_role: str
    ) -> None:
        """Mute or ban until then, on every node, now and after a return; a moment that has passed lifts it.

        Raises NotFoundError, ForbiddenError: `by` is not above whom it concerns in this room.
        """
        ...

    async def retract(self, room: str, message_ids: list[str]) -> None:
        """Take messages back from every screen and from the replay."""
        ...

    async def held(self, room: str) -> Sequence[Mapping[str, Any]]:
        """Messages that wait for a moderator, oldest first, as the room would be told them. Raises NotFoundError."""
        ...

    async def review(self, room: str, message_id: str, *, show: bool) -> None:
        """Show a message that waits, or drop it. Raises NotFoundError when it does not wait (any more)."""
        ...


class SanctionRequest(Body):
    """Whom, for how long, why."""

    user_id: Annotated[str, Field(min_length=1, max_length=80, description="as in `user.id` of what they said")]
    for_s: Annotated[int, Field(ge=1, le=_TEN_YEARS_S, description="a kick is a ban of a minute"), WHOLE] = 600
    reason: Annotated[Line, Field(max_length=200, description="the person is told")] = ""


class SanctionView(BaseModel):
    """What is in force now."""

    room: str
    user_id: str
    kind: str = Field(description="mute or ban")
    until_ms: int


class Speaker(BaseModel):
    """Who said it."""

    id: str
    name: str
    role: str


class HeldView(BaseModel):
    """A message that waits."""

    id: str
    user: Speaker
    text: str
    at_ms: int


class HeldList(BaseModel):
    """Messages that wait, oldest first; at most 200, the oldest give way."""

    items: list[HeldView]


class Review(Body):
    """A moderator's word on a message."""

    show: Annotated[bool, Field(description="false drops it")]


class ModerationApi:
    """The handlers."""

    def __init__(self, *, orderly: Orderly, clock: Clock) -> None:
        self._orderly = orderly
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            _route("POST", "mutes", self.mute, "Let somebody not speak for a time", "room.mute"),
            _route("DELETE", "mutes/{user_id}", self.unmute, "Let somebody speak again", "room.mute.lift"),
            _route("POST", "bans", self.ban, "Put somebody out, and let them not in for a time", "room.ban"),
            _route("DELETE", "bans/{user_id}", self.unban, "Let somebody in again", "room.ban.lift"),
            _route("DELETE", "messages/{message_id}", self.retract, "Take a message back", "room.message.retract"),
            _route("GET", "held", self.held, "Messages that wait for a moderator"),
            _route(
                "POST", "held/{message_id}", self.review, "Show a message that waits, or drop it", "room.message.review"
            ),
        ]

    async def mute(self, *, room: str, body: SanctionRequest, actor: Actor) -> SanctionView:
        return await self._impose(room, "mute", body, actor)

    async def ban(self, *, room: str, body: SanctionRequest, actor: Actor) -> SanctionView:
        return await self._impose(room, "ban", body, actor)

    async def unmute(self, *, room: str, user_id: str, actor: Actor) -> None:
        await self._lift(room, "mute", user_id, actor)

    async def unban(self, *, room: str, user_id: str, actor: Actor) -> None:
        await self._lift(room, "ban", user_id, actor)

    async def retract(self, *, room: str, message_id: str) -> None:
        await self._orderly.retract(room, [message_id])

    async def held(self, *, room: str) -> HeldList:
        return HeldList.model_validate({"items": await self._orderly.held(room)})

    async def review(self, *, room: str, message_id: str, body: Review) -> None:
        await self._orderly.review(room, message_id, show=body.show)

    async def _impose(self, room: str, kind: str, body: SanctionRequest, actor: Actor) -> SanctionView:
        until_ms = self._clock.utc_ms() + body.for_s * 1_000
        await self._orderly.sanction(
            room,
            user_id=body.user_id,
            kind=kind,
            until_ms=until_ms,
            reason=body.reason,
            by=actor.account.public_id,
            by_role=actor.role,
        )
        return SanctionView(room=room, user_id=body.user_id, kind=kind, until_ms=until_ms)

    async def _lift(self, room: str, kind: str, user_id: str, actor: Actor) -> None:
        await self._orderly.sanction(
            room,
            user_id=user_id,
            kind=kind,
            until_ms=0,
            reason="",
            by=actor.account.public_id,
            by_role=actor.role,
        )


def _route(method: str, tail: str, handler: Handler, summary: str, audit: str = "") -> Route:
    return Route(
        method=method,
        path=f"/api/v1/rooms/{{room}}/{tail}",
        handler=handler,
        summary=summary,
        require=_ORDER,
        audit=audit,
        problems=(NotFoundError,),
    )
