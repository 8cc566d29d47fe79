"""Pictures for browsers: `/pictures/ID.jpg`, which never changes, and `/live/ROOM/cover.jpg`, which may.

A room without a cover shows what is on air, unless it is one that only those with a token may watch.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

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


class Stills(Protocol):
    """What shows a room's programme as a picture: `streamd.stills.Stills`."""

    async def recent(self, room: str) -> bytes:
        """A JPEG of the last half minute. Raises NotFoundError, LimitedError, UnavailableError."""
        ...


class PictureFiles:
    """The handlers."""

    def __init__(self, *, pictures: Pictures, rooms: Rooms, stills: Stills, clock: Clock) -> None:
        self._pictures = pictures
        self._rooms = rooms
        self._stills = stills
        # The cover's name, and whether everybody may watch the room.
        self._covers: Recent[str, tuple[str, bool]] = Recent(clock=clock, keep_ms=_COVER_KEEP_MS, limit_count=10_000)

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
        found = self._covers.get(room)
        if found is None:
            known = await self._rooms.get(room)
            found = (known.cover or "", known.access == "public")
            self._covers.put(room, found)
        name, is_public = found
        if name or not is_public:
            return _unchanged(request, name) or await self._send(name, cache=_SHORTLY)
        jpeg = await self._stills.recent(room)
        name = hashlib.sha256(jpeg).hexdigest()[:32]
        return _unchanged(request, name) or _answer(name, jpeg, cache=_SHORTLY)

    async def _send(self, name: str, *, cache: str) -> web.StreamResponse:
        jpeg = await self._pictures.get(name) if name else None
        if jpeg is None:
            raise NotFoundError("there is no such picture", fix="ask for the room again", code="picture_unknown")
        return _answer(name, jpeg, cache=cache)


def _unchanged(request: web.Request, name: str) -> web.Response | None:
    if not name or request.headers.get("If-None-Match") != f'"{name}"':
        return None
    return web.Response(status=304, headers={"ETag": f'"{name}"', "Cache-Control": _SHORTLY})


def _answer(name: str, jpeg: bytes, *, cache: str) -> web.Response:
    headers = {"Cache-Control": cache, "ETag": f'"{name}"', "Access-Control-Allow-Origin": "*"}
    return web.Response(body=jpeg, content_type="image/jpeg", headers=headers)
