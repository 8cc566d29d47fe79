"""Pictures for browsers: `/pictures/ID.jpg`, which never changes, and `/live/ROOM/cover.jpg`, which may."""

from __future__ import annotations

from aiohttp import web

from streamd.accounts.recent import Recent
from streamd.accounts.rooms import Rooms
from streamd.api.routes import Route
from streamd.clock import Clock
from streamd.errors import NotFoundError
from streamd.pictures.store import Pictures

_FOREVER = "public, max-age=31536000, immutable"
_SHORTLY = "public, max-age=30"
# A list of rooms asks for all of their covers at once, and everybody looks at the same list.
_COVER_KEEP_MS = 5_000


class PictureFiles:
    """The handlers."""

    def __init__(self, *, pictures: Pictures, rooms: Rooms, clock: Clock) -> None:
        self._pictures = pictures
        self._rooms = rooms
        self._covers: Recent[str, str] = Recent(clock=clock, keep_ms=_COVER_KEEP_MS, limit_count=10_000)

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/pictures/{name:[0-9a-f]{32}}.jpg",
                handler=self.picture,
                summary="A picture",
                area="media",
                documented=False,
            ),
            Route(
                method="GET",
                path="/live/{room}/cover.jpg",
                handler=self.cover,
                summary="A room's cover",
                area="media",
                documented=False,
            ),
        ]

    async def picture(self, *, name: str) -> web.StreamResponse:
        return await self._send(name, cache=_FOREVER)

    async def cover(self, *, room: str, request: web.Request) -> web.StreamResponse:
        name = self._covers.get(room)
        if name is None:
            name = (await self._rooms.get(room)).cover or ""
            self._covers.put(room, name)
        if name and request.headers.get("If-None-Match") == f'"{name}"':
            return web.Response(status=304, headers={"ETag": f'"{name}"', "Cache-Control": _SHORTLY})
        return await self._send(name, cache=_SHORTLY)

    async def _send(self, name: str, *, cache: str) -> web.StreamResponse:
        jpeg = await self._pictures.get(name) if name else None
        if jpeg is None:
            raise NotFoundError("there is no such picture", fix="ask for the room again", code="picture_unknown")
        headers = {"Cache-Control": cache, "ETag": f'"{name}"', "Access-Control-Allow-Origin": "*"}
        return web.Response(body=jpeg, content_type="image/jpeg", headers=headers)
