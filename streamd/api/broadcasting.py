"""What a host does to a room besides talking: its key, cutting it off, who may watch, how it talks, its cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from streamd.accounts.playback import Playback
from streamd.accounts.rooms import Rooms
from streamd.accounts.stream_keys import StreamKeys
from streamd.api.addresses import Addresses, StreamKeyView
from streamd.api.bodies import WHOLE, Body, Line
from streamd.api.permissions import require
from streamd.api.routes import Route
from streamd.api.uploads import PICTURE_TYPES, upload
from streamd.clock import Clock
from streamd.errors import NotFoundError
from streamd.pictures.store import Pictures

_HOST = require("host", room="room")
_SHOW = require("host", "assistant", room="room")
_ORDER = require("host", "assistant", "moderator", room="room")
_COVER_SIDE_PX = 1_280


class LiveCut(Protocol):
    """What takes a room off air: `streamd.live.gate.StreamGate`."""

    def cut(self, room: str, reason: str = "cut") -> None:
        """At once, without grace."""
        ...


class Stills(Protocol):
    """What shows a room's programme as a picture: `streamd.stills.Stills`."""

    async def take(self, room: str) -> bytes:
        """A JPEG of this moment. Raises NotFoundError, LimitedError, UnavailableError."""
        ...


class ChatDesk(Protocol):
    """How rooms talk."""

    async def chat(self, room: str) -> Mapping[str, Any]:
        """The settings in force. Raises NotFoundError."""
        ...

    async def change_chat(self, room: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change what is named, for all who are there and for later; the settings then. Raises InvalidError."""
        ...


class Cut(Body):
    """For how long."""

    for_s: Annotated[int, Field(ge=1, le=7 * 24 * 3_600), WHOLE] = 60
    reason: Annotated[Line, Field(max_length=200)] = ""


class CutView(BaseModel):
    """Since when no encoder is let in, and until when."""

    room: str
    until_ms: int


class PlaybackChange(Body):
    """Who may watch."""

    access: Literal["public", "signed"]


class PlaybackView(BaseModel):
    """Who may watch: everybody, or those with a token."""

    room: str
    access: Literal["public", "signed"]


class PlaybackTokenRequest(Body):
    """A token to watch by."""

    expires_in_s: Annotated[int, Field(ge=1, le=7 * 24 * 3_600), WHOLE] = 4 * 3_600
    address: Annotated[
        str, Field(max_length=45, pattern=r"^[0-9A-Fa-f:.]*$", description="the only address it is good from")
    ] = ""


class PlaybackTokenView(BaseModel):
    """A token to watch by; `?token=` on every media address, and carried on by playlists."""

    token: str
    expires_at_ms: int
    hls_url: str
    flv_url: str


class WordRule(Body):
    """What becomes of messages with a word."""

    text: Annotated[str, Field(min_length=1, max_length=64)]
    action: Literal["mask", "hold", "block"] = "block"


class ChatChange(Body):
    """What is to change; what is left out stays."""

    slow_mode_ms: Annotated[int | None, Field(ge=0, le=600_000), WHOLE] = None
    muted_all: bool | None = None
    guests_may_speak: bool | None = None
    max_length: Annotated[int | None, Field(ge=1, le=500), WHOLE] = None
    on_silence: Annotated[
        Literal["allow", "hold", "block"] | None,
        Field(description="what becomes of a message when the reviewer outside does not answer within 200 ms"),
    ] = None
    words: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)] | WordRule] | None, Field(max_length=5_000)
    ] = None


class ChatView(BaseModel):
    """How a room talks."""

    model_config = ConfigDict(extra="ignore")

    slow_mode_ms: int
    muted_all: bool
    guests_may_speak: bool
    max_length: int
    on_silence: Literal["allow", "hold", "block"]
    words: list[dict[str, str]] = Field(description="text and what becomes of it: mask, hold or block")


class CoverView(BaseModel):
    """The room's cover."""

    room: str
    cover: str = Field(description="where it is, for ever")


class BroadcastingApi:
    """The handlers."""

    def __init__(
        self,
        *,
        rooms: Rooms,
        keys: StreamKeys,
        playback: Playback,
        pictures: Pictures,
        live: LiveCut,
        stills: Stills,
        chat: ChatDesk,
        addresses: Addresses,
        clock: Clock,
    ) -> None:
        self._rooms = rooms
        self._keys = keys
        self._playback = playback
        self._pictures = pictures
        self._live = live
        self._stills = stills
        self._chat = chat
        self._addresses = addresses
        self._clock = clock

    def routes(self) -> list[Route]:
        return [*self._air_routes(), *self._playback_routes(), *self._chat_routes(), *self._cover_routes()]

    def _air_routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/v1/rooms/{room}/stream-key",
                handler=self.rotate,
                summary="A new stream key, shown this once; the old one is worthless for the next publish",
                require=_HOST,
                audit="room.stream_key.rotate",
                problems=(NotFoundError,),
            ),
            Route(
                method="POST",
                path="/api/v1/rooms/{room}/cut",
                handler=self.cut,
                summary="Take the room off air now, and let no encoder in for a time",
                require=_HOST,
                audit="room.cut",
                problems=(NotFoundError,),
            ),
            Route(
                method="DELETE",
                path="/api/v1/rooms/{room}/cut",
                handler=self.end_cut,
                summary="Let the encoder in again",
                require=_HOST,
                audit="room.cut.end",
                problems=(NotFoundError,),
            ),
        ]

    def _playback_routes(self) -> list[Route]:
        return [
            Route(
                method="PUT",
                path="/api/v1/rooms/{room}/playback",
                handler=self.set_access,
                summary="Open the room to everybody, or to those with a token",
                require=_HOST,
                audit="room.playback.change",
                problems=(NotFoundError,),
            ),
            Route(
                method="POST",
                path="/api/v1/rooms/{room}/playback-tokens",
                handler=self.issue_token,
                summary="A token to watch by",
                require=_SHOW,
                audit="room.playback_token.issue",
                problems=(NotFoundError,),
            ),
            Route(
                method="DELETE",
                path="/api/v1/rooms/{room}/playback-tokens",
                handler=self.revoke_tokens,
                summary="Void every playback token of the room",
                require=_HOST,
                audit="room.playback_token.revoke",
                problems=(NotFoundError,),
            ),
        ]

    def _chat_routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/chat",
                handler=self.chat,
                summary="How the room talks",
                require=_ORDER,
                problems=(NotFoundError,),
            ),
            Route(
                method="PATCH",
                path="/api/v1/rooms/{room}/chat",
                handler=self.change_chat,
                summary="Change how the room talks",
                require=_ORDER,
                audit="room.chat.change",
                problems=(NotFoundError,),
            ),
        ]

    def _cover_routes(self) -> list[Route]:
        return [
            Route(
                method="PUT",
                path="/api/v1/rooms/{room}/cover",
                handler=self.set_cover,
                summary="Another cover: a JPEG, PNG or WebP of at most 8 MiB as the body",
                require=_SHOW,
                audit="room.cover.put",
                problems=(NotFoundError,),
                repeatable=False,
                upload=PICTURE_TYPES,
            ),
            Route(
                method="POST",
                path="/api/v1/rooms/{room}/cover/frame",
                handler=self.take_cover,
                summary="What is on air at this moment as the cover",
                require=_SHOW,
                audit="room.cover.frame",
                problems=(NotFoundError,),
            ),
            Route(
                method="DELETE",
                path="/api/v1/rooms/{room}/cover",
                handler=self.remove_cover,
                summary="No cover",
                require=_SHOW,
                audit="room.cover.remove",
                problems=(NotFoundError,),
            ),
        ]

    async def rotate(self, *, room: str) -> StreamKeyView:
        return self._addresses.with_key(room, await self._keys.rotate(room))

    async def cut(self, *, room: str, body: Cut) -> CutView:
        until_ms = self._clock.utc_ms() + body.for_s * 1_000
        # First the word, then the deed: an encoder that comes back at once is asked about by then.
        await self._rooms.cut(room, until_ms=until_ms)
        self._live.cut(room)
        return CutView(room=room, until_ms=until_ms)

    async def end_cut(self, *, room: str) -> None:
        await self._rooms.cut(room, until_ms=0)

    async def set_access(self, *, room: str, body: PlaybackChange) -> PlaybackView:
        await self._playback.set_access(room, body.access)
        return PlaybackView(room=room, access=body.access)

    async def issue_token(self, *, room: str, body: PlaybackTokenRequest) -> PlaybackTokenView:
        token, expires_at_ms = await self._playback.issue(room, keep_ms=body.expires_in_s * 1_000, address=body.address)
        base = f"{self._addresses.origin}/live/{room}"
        return PlaybackTokenView(
            token=token,
            expires_at_ms=expires_at_ms,
            hls_url=f"{base}/index.m3u8?token={token}",
            flv_url=f"{base}.flv?token={token}",
        )

    async def revoke_tokens(self, *, room: str) -> None:
        await self._playback.revoke(room)

    async def chat(self, *, room: str) -> ChatView:
        return ChatView.model_validate(await self._chat.chat(room))

    async def change_chat(self, *, room: str, body: ChatChange) -> ChatView:
        changes = {name: value for name, value in body.model_dump().items() if value is not None}
        return ChatView.model_validate(await self._chat.change_chat(room, changes))

    async def set_cover(self, *, room: str, request: web.Request) -> CoverView:
        await self._rooms.get(room)
        return await self._cover(room, await upload(request))

    async def take_cover(self, *, room: str) -> CoverView:
        return await self._cover(room, await self._stills.take(room))

    async def _cover(self, room: str, data: bytes) -> CoverView:
        picture = await self._pictures.add(data, side_px=_COVER_SIDE_PX)
        await self._rooms.set_cover(room, picture)
        return CoverView(room=room, cover=self._addresses.picture(picture))

    async def remove_cover(self, *, room: str) -> None:
        await self._rooms.set_cover(room, None)
