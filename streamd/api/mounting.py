"""Puts all areas of this package on one aiohttp application, described, wrapped, and with an answer for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from streamd.api.answering import Answering
from streamd.api.binding import bind
from streamd.api.border import Border
from streamd.api.docs import DocsApi
from streamd.api.fallback import Fallback, Site
from streamd.api.routes import Route


class Area(Protocol):
    """Some handlers that belong together."""

    def routes(self) -> list[Route]:
        """Where they are served."""
        ...


def mount(
    application: web.Application,
    areas: Sequence[Area],
    *,
    docs: DocsApi,
    answering: Answering,
    border: Border,
    site: Site | None = None,
) -> None:
    """Call it last: what comes after would be hidden by the answer for everything else."""
    routes = [route for area in (*areas, docs) for route in area.routes()]
    docs.describe(routes)
    for route in (*routes, *Fallback(site=site).routes()):
        handler = answering.wrap(route, bind(route, border))
        if route.method == "GET":
            application.router.add_get(route.path, handler)  # with HEAD
        else:
            application.router.add_route(route.method, route.path, handler)
