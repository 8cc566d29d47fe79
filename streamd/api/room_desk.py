"""The desk from which a show is run: what is kept in view, what is announced, how the room does, what words catch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict, JsonValue

from streamd.api.addresses import Addresses
from streamd.api.bodies import Body, Line
from streamd.api.permissions import Actor, require
from streamd.api.routes import Handler, Route
from streamd.errors import NotFoundError

_ORDER = require("host", "assistant", "moderator", room="room")
_SHOW = require("host", "assistant", room="room")
WORDS_LIMIT = 200

MessageId = Annotated[str, Field(min_length=1, max_length=64)]


class Desk(Protocol):
    """What a room is asked and told from its desk. Everything raises NotFoundError for a room that is not there."""

    async def pin(self, room: str, *, message_id: str, text: str, by: str) -> None:
        """Keep a message, or words of the staff, in view of everybody. Raises NotFoundError: said too long ago."""
        ...

    async def unpin(self, room: str) -> None:
        """Keep nothing in view."""
        ...

    async def announce(self, room: str, text: str, *, by: str) -> None:
        """A notice for everybody."""
        ...

    async def audience(self, room: str) -> Mapping[str, Any]:
        """The fields of `AudienceView`."""
        ...

    async def try_words(self, room: str, text: str) -> Mapping[str, Any]:
        """The fields of `TrialView`."""
        ...


def _alternatives(*names: str) -> list[JsonValue]:
    """Each of these fields alone, as JSON Schema says it; the others are left out, or null."""
    null: JsonDict = {"type": "null"}
    return [
        {"required": [name], "properties": {each: {"type": "string"} if each == name else null for each in names}}
        for name in names
    ]


class Pinning(Body):
    """A message of the room by its id, or words of one's own: one of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _alternatives("message_id", "text")})

    message_id: MessageId | None = None
    text: Annotated[Line | None, Field(min_length=1, max_length=WORDS_LIMIT)] = None

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Pinning:
        if (self.message_id is None) == (self.text is None):
            raise ValueError("name either message_id or text")
        return self


class Notice(Body):
    """What everybody in the room reads."""

    text: Annotated[Line, Field(min_length=1, max_length=WORDS_LIMIT)]


class AudienceView(BaseModel):
    """Who is there, and what could not be told to everybody. `shed` is by class: A orders, prices, cards, order in the
    room; B what staff say; C danmaku; D likes and counts."""

    room: str
    online: int
    peak: int
    unique: int = Field(description="different people since the room opened")
    likes: int
    seq: int = Field(description="how many events there have been")
    is_alone: bool = Field(description="other nodes are out of reach; this one goes on by itself")
    members_here: int = Field(description="on this node, as all that ends in here")
    lagging_here: int
    delivered_here: int
    shed_here: dict[str, int]


class EncoderView(BaseModel):
    """Where an encoder sends, without the key."""

    room: str
    rtmp_url: str
    whip_url: str
    watch_url: str


class TrialQuery(BaseModel):
    """What somebody might say."""

    text: Annotated[str, Field(min_length=1, max_length=500)]


class TrialView(BaseModel):
    """What the room's list says of it."""

    action: str = Field(description="pass, mask, hold or block")
    text: str = Field(description="as it would be shown")
    words: list[str] = Field(description="the words of the list that were found")


class RoomDeskApi:
    """The handlers."""

    def __init__(self, *, desk: Desk, addresses: Addresses) -> None:
        self._desk = desk
        self._addresses = addresses

    def routes(self) -> list[Route]:
        return [
            _route("PUT", "pinned", self.pin, "Keep a message in everybody's view", "room.pin"),
            _route("DELETE", "pinned", self.unpin, "Keep nothing in view", "room.unpin"),
            _route("POST", "notices", self.announce, "Announce to the room", "room.notice", show=True),
            _route("GET", "audience", self.audience, "Who is there, and what did not reach them"),
            _route("GET", "encoder", self.encoder, "Where an encoder sends", show=True),
            _route("GET", "words/trial", self.try_words, "What the word list says of a text"),
        ]

    async def pin(self, *, room: str, body: Pinning, actor: Actor) -> None:
        by = actor.account.display_name
        await self._desk.pin(room, message_id=body.message_id or "", text=body.text or "", by=by)

    async def unpin(self, *, room: str) -> None:
        await self._desk.unpin(room)

    async def announce(self, *, room: str, body: Notice, actor: Actor) -> None:
        await self._desk.announce(room, body.text, by=actor.account.display_name)

    async def audience(self, *, room: str) -> AudienceView:
        return AudienceView.model_validate(await self._desk.audience(room))

    async def encoder(self, *, room: str) -> EncoderView:
        told = self._addresses.with_key(room, "")
        return EncoderView(room=room, rtmp_url=told.rtmp_url, whip_url=told.whip_url, watch_url=told.watch_url)

    async def try_words(self, *, room: str, query: TrialQuery) -> TrialView:
        return TrialView.model_validate(await self._desk.try_words(room, query.text))


def _route(
    method: str,
    tail: str,
    handler: Handler,
    summary: str,
    audit: str = "",
    *,
    show: bool = False,
) -> Route:
    return Route(
        method=method,
        path=f"/api/v1/rooms/{{room}}/{tail}",
        handler=handler,
        summary=summary,
        require=_SHOW if show else _ORDER,
        audit=audit,
        problems=(NotFoundError,),
    )
