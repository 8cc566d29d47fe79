"""What is asked for and is not there: 404 or 405 as a problem, and the browser's question before it asks (CORS).

Who follows a dead link in a browser gets the site's own page, which says so, with status 404; programs get the problem.
"""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from streamd.api import problems
from streamd.api.routes import Route
from streamd.errors import NotFoundError

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Site(Protocol):
    """Whose page says that there is nothing: `streamd.api.pages.Pages`."""

    def missing(self) -> web.Response | None:
        """None where the pages are not built."""
        ...


class Fallback:
    """The last routes of the application."""

    def __init__(self, *, site: Site | None = None) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        return [
            Route(
                method="OPTIONS",
                path="/api/{path:.*}",
                handler=self.preflight,
                summary="CORS preflight",
                documented=False,
            ),
            Route(
                method="GET",
                path="/api/{path:.*}",
                handler=self.nothing_here,
                summary="What is not there",
                documented=False,
            ),
            Route(
                method="GET",
                path="/{path:.*}",
                handler=self.no_such_page,
                summary="What is not there",
                area="pages",
                documented=False,
            ),
            Route(
                method="*",
                path="/{path:.*}",
                handler=self.nothing_here,
                summary="What is not there",
                documented=False,
            ),
        ]

    async def preflight(self, *, path: str) -> web.StreamResponse:  # noqa: ARG002  # any path of the API
        """Which methods and headers a page of the public origin may use; the origin itself is checked for all."""
        headers = {
            "Access-Control-Allow-Methods": ", ".join(_METHODS),
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, X-Request-ID",
            "Access-Control-Max-Age": "600",
        }
        return web.Response(status=204, headers=headers)

    async def no_such_page(self, *, path: str, request: web.Request) -> web.StreamResponse:
        """For people the site's page, for programs the problem. A name with a dot is a file's."""
        is_for_people = "text/html" in request.headers.get("Accept", "") and "." not in path
        page = self._site.missing() if self._site is not None and is_for_people else None
        return page or await self.nothing_here(path=path, request=request)

    async def nothing_here(self, *, path: str, request: web.Request) -> web.StreamResponse:
        """405 where another method would be served, 404 elsewhere."""
        allowed: set[str] = set()
        for resource in request.app.router.resources():
            if resource.canonical in ("/{path}", "/api/{path}"):
                continue
            _, methods = await resource.resolve(request)
            allowed |= methods
        if not allowed:
            raise NotFoundError(
                f"there is nothing at /{path[:200]}", fix="see /api/docs for what there is", code="address_unknown"
            )
        return problems.render(
            status=405,
            title="This method is not served here",
            code="method_not_allowed",
            detail=f"{request.method} is not served at /{path[:200]}",
            fix=f"use {', '.join(sorted(allowed))}",
            headers={"Allow": ", ".join(sorted(allowed))},
        )
