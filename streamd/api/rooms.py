"""Rooms as viewers and hosts ask for them: `GET /api/v1/rooms`, `/rooms/ROOM`, `/rooms/ROOM/stream`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Protocol

from pydantic import BaseModel, Field

from streamd.accounts.rooms import Room, Rooms
from streamd.api.routes import Route
from streamd.api.stream_health import StreamView
from streamd.clock import Clock
from streamd.errors import InvalidError, NotFoundError
from streamd.live.health import StreamHealth

# The name of the last room seen, or nothing.
CURSOR = r"^([a-z0-9][a-z0-9-]{0,62})?$"


class LiveRooms(Protocol):
    """What this area needs to know of what is on air."""

    def on_air(self) -> Collection[str]:
        """The rooms with an encoder, now."""
        ...

    def health(self, room: str) -> StreamHealth | None:
        """How its stream is doing; None where nothing is live."""
        ...


class RoomView(BaseModel):
    """A room."""

    room: str = Field(description="its name in every address")
    title: str
    owner: str = Field(description="name of the account it belongs to; empty while nobody's")
    on_air: bool
    created_at_ms: int


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

    def __init__(self, *, rooms: Rooms, live: LiveRooms, clock: Clock) -> None:
        self._rooms = rooms
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
                method="GET",
                path="/api/v1/rooms/{room}",
                handler=self.get,
                summary="One room",
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
            items=[_view(room, on_air) for room in shown],
            next_cursor=shown[-1].slug if len(found) > len(shown) else None,
            server_time_ms=self._clock.utc_ms(),
        )

    async def get(self, *, room: str) -> RoomView:
        return _view(await self._rooms.get(room), self._live.on_air())

    async def stream(self, *, room: str) -> StreamView:
        health = self._live.health(room)
        if health is None:
            await self._rooms.get(room)
            return StreamView(room=room, server_time_ms=self._clock.utc_ms())
        return StreamView.of(health, server_time_ms=self._clock.utc_ms())


def _view(room: Room, on_air: Collection[str]) -> RoomView:
    return RoomView(
        room=room.slug,
        title=room.title,
        owner=room.owner,
        on_air=room.slug in on_air,
        created_at_ms=room.created_at_ms,
    )
