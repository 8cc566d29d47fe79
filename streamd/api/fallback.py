"""What is asked for and is not there: 404 or 405 as a problem, and the browser's question before it asks (CORS)."""

from __future__ import annotations

from aiohttp import web

from streamd.api import problems
from streamd.api.routes import Route
from streamd.errors import NotFoundError

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Fallback:
    """The last route of the application."""

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
