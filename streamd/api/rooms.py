"""Rooms as viewers and hosts ask for them, made and changed: `/api/v1/rooms`, `/rooms/ROOM`, `/rooms/ROOM/stream`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, Field

from streamd.accounts.rooms import ANNOUNCEMENT_LIMIT, TITLE_LIMIT, Room, Rooms
from streamd.api.addresses import Addresses, StreamKeyView
from streamd.api.bodies import Body, Line, Lines, Slug, UtcMs
from streamd.api.permissions import Actor, require
from streamd.api.routes import Route
from streamd.api.stream_health import StreamView
from streamd.clock import Clock
from streamd.errors import ConflictError, InvalidError, NotFoundError
from streamd.live.health import StreamHealth

# The name of the last room seen, or nothing.
CURSOR = r"^([a-z0-9][a-z0-9-]{0,62})?$"


class LiveRooms(Protocol):
    """What this area needs to know of what is on air."""

    def on_air(self) -> Collection[str]:
        """The rooms with an encoder, now."""
        ...

    async def health(self, room: str) -> StreamHealth | None:
        """How its stream is doing; None where nothing is live."""
        ...


class RoomView(BaseModel):
    """A room."""

    room: str = Field(description="its name in every address")
    title: str
    owner: str = Field(description="name of the account it belongs to; empty while nobody's")
    on_air: bool
    created_at_ms: int
    announcement: str = Field(description="what the host promises for the next show")
    starts_at_ms: int | None = Field(description="when the next show begins; null while nothing is announced")
    cover: str | None = Field(description="where the cover is; null where there is none")
    access: Literal["public", "signed"] = Field(description="signed: to be watched with a playback token only")
    cut_until_ms: int = Field(description="until when the room is kept off air; 0 or past where it is not")


class RoomMade(BaseModel):
    """A new room, and what goes into its encoder."""

    room: RoomView
    encoder: StreamKeyView


class NewRoom(Body):
    """A room of one's own."""

    room: Slug
    title: Annotated[Line, Field(max_length=TITLE_LIMIT, description="the name if left out")] = ""
    announcement: Annotated[Lines, Field(max_length=ANNOUNCEMENT_LIMIT)] = ""
    starts_at_ms: UtcMs | None = None


class RoomChange(Body):
    """What is to change; what is left out stays. A beginning of null takes the announcement of it back."""

    title: Annotated[Line | None, Field(max_length=TITLE_LIMIT)] = None
    announcement: Annotated[Lines | None, Field(max_length=ANNOUNCEMENT_LIMIT)] = None
    starts_at_ms: UtcMs | None = None


class RoomPage(BaseModel):
    """Some rooms, in the order of their names."""

    items: list[RoomView]
    next_cursor: str | None = Field(description="ask again with `cursor` set to it; null on the last page")
    server_time_ms: int


class RoomsQuery(BaseModel):
    """Which rooms."""

    cursor: Annotated[str, Field(description="`next_cursor` of the page before", pattern=CURSOR)] = ""
    limit: Annotated[int, Field(ge=1, le=200, description="rooms in a page, at most")] = 50
    on_air: Annotated[bool, Field(description="only rooms that are on air")] = False


class RoomsApi:
    """The handlers."""

    def __init__(self, *, rooms: Rooms, live: LiveRooms, clock: Clock, addresses: Addresses) -> None:
        self._rooms = rooms
        self._addresses = addresses
        self._live = live
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/rooms",
                handler=self.list,
                summary="Rooms, page by page",
                problems=(InvalidError,),
            ),
            Route(
                method="POST",
                path="/api/v1/rooms",
                handler=self.create,
                summary="Open a room; its stream key is shown this once",
                require=require("host"),
                audit="room.create",
                problems=(ConflictError,),
                status=201,
            ),
            Route(
                method="GET",
                path="/api/v1/rooms/{room}",
                handler=self.get,
                summary="One room",
                problems=(NotFoundError,),
            ),
            Route(
                method="PATCH",
                path="/api/v1/rooms/{room}",
                handler=self.change,
                summary="Change the title, and announce the next show",
                require=require("host", "assistant", room="room"),
                audit="room.change",
                problems=(NotFoundError,),
            ),
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/stream",
                handler=self.stream,
                summary="How the room's stream is doing",
                problems=(NotFoundError,),
            ),
        ]

    async def list(self, *, query: RoomsQuery) -> RoomPage:
        on_air = self._live.on_air()
        among = on_air if query.on_air else None
        found = await self._rooms.page(after=query.cursor, limit=query.limit + 1, among=among)
        shown = found[: query.limit]
        return RoomPage(
            items=[self._view(room, on_air) for room in shown],
            next_cursor=shown[-1].slug if len(found) > len(shown) else None,
            server_time_ms=self._clock.utc_ms(),
        )

    async def get(self, *, room: str) -> RoomView:
        return self._view(await self._rooms.get(room), self._live.on_air())

    async def create(self, *, body: NewRoom, actor: Actor) -> RoomMade:
        room, key = await self._rooms.create(body.room, title=body.title, owner=actor.account.name)
        if body.announcement or body.starts_at_ms is not None:
            room = await self._rooms.change(room.slug, announcement=body.announcement, starts_at_ms=body.starts_at_ms)
        return RoomMade(room=self._view(room, self._live.on_air()), encoder=self._addresses.with_key(room.slug, key))

    async def change(self, *, room: str, body: RoomChange) -> RoomView:
        # None is a word here: nothing is announced any more.
        starts_at_ms = body.starts_at_ms if "starts_at_ms" in body.model_fields_set else -1
        changed = await self._rooms.change(
            room, title=body.title, announcement=body.announcement, starts_at_ms=starts_at_ms
        )
        return self._view(changed, self._live.on_air())

    async def stream(self, *, room: str) -> StreamView:
        health = await self._live.health(room)
        if health is None:
            await self._rooms.get(room)
            return StreamView(room=room, server_time_ms=self._clock.utc_ms())
        return StreamView.of(health, server_time_ms=self._clock.utc_ms())

    def _view(self, room: Room, on_air: Collection[str]) -> RoomView:
        return RoomView.model_validate(
            {
                "room": room.slug,
                "title": room.title,
                "owner": room.owner,
                "on_air": room.slug in on_air,
                "created_at_ms": room.created_at_ms,
                "announcement": room.announcement,
                "starts_at_ms": room.starts_at_ms,
                "cover": self._addresses.picture(room.cover) if room.cover else None,
                "access": room.access,
                "cut_until_ms": room.cut_until_ms,
            }
        )
