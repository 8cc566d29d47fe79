"""May this viewer have media of this room? Asked by caches in front of us, which then serve everybody from one copy.

`GET /live/ROOM/admission?token=…`: 204, or 403 with the reason. A room that does not exist is nobody's secret: 204, and
what is asked for there is 404 by itself.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from streamd.delivery.hls import WatchCheck
from streamd.delivery.refusal import refusal
from streamd.errors import NotFoundError, StreamdError


class Admission:
    """The handler."""

    def __init__(self, *, watch: WatchCheck, address_of: Callable[[web.Request], str]) -> None:
        self._watch = watch
        self._address_of = address_of

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [web.get("/live/{room}/admission", self._answer)]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            await self._watch.check(
                request.match_info["room"], request.query.get("token", ""), self._address_of(request)
            )
        except NotFoundError:
            pass
        except StreamdError as error:
            return refusal(error)
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
