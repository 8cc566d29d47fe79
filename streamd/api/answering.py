"""What every answer of API, pages and operations has in common: a request id, headers, problems, metrics, a log line.

Wrapped around each handler when it is mounted, so that media requests pay nothing for it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping

import structlog
from aiohttp import web

from streamd.api import problems
from streamd.api.routes import Bound, Route
from streamd.clock import Clock
from streamd.errors import StreamdError
from streamd.telemetry.log import Log
from streamd.telemetry.metrics import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")

_WEBSOCKETS = {"http": "ws", "https": "wss"}
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}
# By area. A handler that sets one of them itself keeps its own.
HEADERS: Mapping[str, Mapping[str, str]] = {
    "api": {**_EVERYWHERE, "Content-Security-Policy": DATA_POLICY, "Cache-Control": "no-store"},
    "operations": {**_EVERYWHERE, "Content-Security-Policy": DATA_POLICY, "Cache-Control": "no-store"},
    "media": _EVERYWHERE,
    "pages": _EVERYWHERE,
}


def page_policy(origin: str) -> str:
    """What a page of the site at `origin` may load: what the site serves, and nothing from elsewhere.

    Pictures that are about to be sent, and the players' media sources, are blob: addresses. 'self' does not cover
    WebSockets in Safari before 15.4, so they are named.
    """
    scheme, _, host = origin.partition("://")
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        f"connect-src 'self' {_WEBSOCKETS.get(scheme, 'wss')}://{host}; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'"
    )


class Answering:
    """Wraps handlers. `origin` and `others` are the sites whose pages may read the API in a browser."""

    def __init__(self, *, log: Log, metrics: Metrics, clock: Clock, origin: str, others: Collection[str] = ()) -> None:
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._origins = frozenset({origin, *others})
        self._page_policy = {"Content-Security-Policy": page_policy(origin)}

    def wrap(self, route: Route, handler: Bound) -> Bound:
        """`handler`, with everything of this module's promise."""
        headers = {**HEADERS[route.area], **(self._page_policy if route.area == "pages" else {})}
        seconds = self._metrics.http_seconds.labels(route.area)

        async def answer(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("X-Request-ID", "")
            request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
            began_ms = self._clock.now_ms()
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                response = await self._guarded(request, handler)
                elapsed_ms = self._clock.now_ms() - began_ms
                self._account(route, request, response, elapsed_ms)
            seconds.observe(elapsed_ms / 1_000)
            response.headers["X-Request-ID"] = request_id
            for name, value in headers.items():
                response.headers.setdefault(name, value)
            if route.area == "api":
                self._allow_origin(request, response)
            return response

        return answer

    async def _guarded(self, request: web.Request, handler: Bound) -> web.StreamResponse:
        try:
            return await handler(request)
        except StreamdError as error:
            if problems.kind_of(type(error)) == problems.INTERNAL:
                self._log.exception("http.failed", method=request.method, path=request.path)
            return problems.problem(error)
        except web.HTTPException as refusal:
            status = refusal.status
            code = "_".join(refusal.reason.lower().split())
            return problems.render(status=status, title=refusal.reason, code=code, detail=refusal.text or "")
        except Exception:
            # The border of one request: whatever our mistake was, it ends here and is told in full to the log only.
            self._log.exception("http.failed", method=request.method, path=request.path)
            status, title = problems.INTERNAL
            detail = "an unexpected error, written to the server's log"
            fix = "give the X-Request-ID of this answer to whoever runs the server"
            return problems.render(status=status, title=title, code="internal", detail=detail, fix=fix)

    def _account(self, route: Route, request: web.Request, response: web.StreamResponse, elapsed_ms: int) -> None:
        self._metrics.http_requests.labels(route.area, str(response.status)).inc()
        # Probes, scrapes and pages come by the second; what changes something or fails is worth a line.
        is_routine = request.method in ("GET", "HEAD") and response.status < 500
        say = self._log.debug if is_routine else self._log.info
        say(
            "http.answered",
            method=request.method,
            route=route.plain_path,
            status=response.status,
            ms=elapsed_ms,
        )

    def _allow_origin(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Vary"] = "Origin"
        origin = request.headers.get("Origin")
        if origin in self._origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "X-Request-ID, Retry-After, Idempotent-Replayed"
