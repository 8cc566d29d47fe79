"""WHIP over HTTP: `/whip/ROOM` takes offers, the session's own address takes candidates, restarts and the end.

Statuses and headers are those of RFC 9725 4.2 to 4.6 and of what OBS 30 to 32 insists on: 201 exactly, a Location that
is an absolute path, 200 to DELETE. Refusals are problem+json. A session's address cannot be guessed and is a
credential; who sends a bearer token with it nevertheless must send the right one.
Where several workers share the port, the session's name begins with its worker's.
Not here: what an offer may hold (`offer`), who may publish (the gate), sessions themselves (`server`).
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from streamd.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LimitedError,
    NotFoundError,
    StreamdError,
    UnauthenticatedError,
    UnavailableError,
)
from streamd.media.ports import PublishRequest
from streamd.whip import sdp
from streamd.whip.answer import answer, restart_fragment
from streamd.whip.limits import IceServer
from streamd.whip.offer import RefusedError, read_credentials
from streamd.whip.server import WhipServer
from streamd.whip.session import Session

OFFER_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, Link, ETag, Accept-Patch, Retry-After",
}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Headers": "Content-Type, Authorization, If-Match",
    "Access-Control-Max-Age": "86400",
}
# The first that fits counts.
_STATUSES: tuple[tuple[type[StreamdError], int, str], ...] = (
    (RefusedError, 422, "The offer cannot be taken"),
    (InvalidError, 400, "The request cannot be meant as it stands"),
    (UnauthenticatedError, 401, "The stream key is missing or wrong"),
    (ForbiddenError, 403, "Not allowed"),
    (NotFoundError, 404, "Not found"),
    (ConflictError, 409, "The present state does not allow it"),
    (LimitedError, 429, "Too much or too often"),
    (UnavailableError, 503, "No room, or a part this depends on is away"),
)
_AGENT_LENGTH = 200
_BODY_S = 15.0  # an offer is a few kilobytes


class _HttpError(StreamdError):
    """A refusal that is about HTTP itself."""

    def __init__(self, status: int, what: str, *, fix: str = "", code: str) -> None:
        super().__init__(what, fix=fix, code=code)
        self.status = status


def _remote(request: web.Request) -> str:
    return request.remote or ""


class WhipEndpoint:
    """See the module's promise."""

    def __init__(
        self,
        *,
        server: WhipServer,
        address_of: Callable[[web.Request], str] = _remote,
        forward: Callable[[web.Request, str], Awaitable[web.StreamResponse]] | None = None,
    ) -> None:
        """`forward` hands a request for a session of another worker on to it."""
        self._server = server
        self._address_of = address_of
        self._forward = forward

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [
            web.route("*", "/whip/{room}", self._endpoint),
            web.route("*", "/whip/{room}/{session}", self._session),
        ]

    async def _endpoint(self, request: web.Request) -> web.Response:
        try:
            match request.method:
                case "POST":
                    return await self._offer(request)
                case "OPTIONS":
                    return _preflight("POST, OPTIONS", {"Accept-Post": OFFER_TYPE})
                case _:
                    return _not_allowed("POST, OPTIONS")
        except StreamdError as error:
            return _problem(error)

    async def _session(self, request: web.Request) -> web.StreamResponse:
        worker, dot, _ = request.match_info["session"].partition(".")
        if self._forward is not None and dot and worker != self._server.worker and request.method != "OPTIONS":
            return await self._forward(request, worker)
        try:
            match request.method:
                case "PATCH":
                    return await self._patch(request)
                case "DELETE":
                    self._find(request).end("unpublish")
                    return web.Response(status=200, headers=_CORS)
                case "OPTIONS":
                    return _preflight("PATCH, DELETE, OPTIONS", {"Accept-Patch": FRAGMENT_TYPE})
                case _:
                    return _not_allowed("PATCH, DELETE, OPTIONS")
        except StreamdError as error:
            return _problem(error)

    async def _offer(self, request: web.Request) -> web.Response:
        room = request.match_info["room"]
        key = _bearer(request)
        if key is None:
            raise UnauthenticatedError(
                "no stream key", why="there is no bearer token", fix="send Authorization: Bearer STREAM_KEY"
            )
        _refuse_other_type(request, OFFER_TYPE)
        body = await _read(request, self._server.settings.limits.offer_bytes)
        session = await self._server.open(
            body,
            request=PublishRequest(
                protocol="whip",
                app="live",
                name=room,
                query={"key": key},
                peer=self._address_of(request),
                encoder=request.headers.get("User-Agent", "")[:_AGENT_LENGTH],
            ),
            reached_at=_reached_at(request),
        )
        seat = self._server.seat(session)
        headers = {
            **_CORS,
            "Location": f"/whip/{room}/{session.name}",
            "ETag": session.etag,
            "Accept-Patch": FRAGMENT_TYPE,
        }
        links = ", ".join(_link(one) for one in self._server.settings.ice_servers)
        if links:
            headers["Link"] = links
        text = answer(session.offer, seat, session_number=int.from_bytes(session.name.encode()[:7], "big"))
        return web.Response(status=201, text=text, content_type=OFFER_TYPE, headers=headers)

    async def _patch(self, request: web.Request) -> web.Response:
        session = self._find(request)
        _refuse_other_type(request, FRAGMENT_TYPE)
        condition = request.headers.get("If-Match", "").strip()
        if not condition:
            raise _HttpError(428, "no If-Match", fix=f"send If-Match: {session.etag}", code="precondition_required")
        is_any = condition in ("*", '"*"')
        if not is_any and condition != session.etag:
            raise _HttpError(412, "this is about an earlier ICE session", code="etag_mismatch")
        fragment = sdp.parse_fragment(await _read(request, self._server.settings.limits.fragment_bytes))
        if not is_any and not fragment.has("ice-ufrag") and not any(one.has("ice-ufrag") for one in fragment.media):
            return web.Response(status=204, headers=_CORS)
        ufrag, _ = read_credentials(fragment)
        if ufrag == session.remote_ufrag:
            # Candidates. A lite agent sends no checks and learns the peer's addresses from the peer's own.
            return web.Response(status=204, headers=_CORS)
        session.restart_ice(ufrag)
        seat = self._server.seat(session)
        return web.Response(
            status=200,
            text=restart_fragment(session.offer, seat),
            content_type=FRAGMENT_TYPE,
            headers={**_CORS, "ETag": session.etag},
        )

    def _find(self, request: web.Request) -> Session:
        session = self._server.find(request.match_info["session"])
        if session is None or session.request.name != request.match_info["room"]:
            raise NotFoundError("no such session", why="it has ended, or never was", fix="POST a new offer")
        key = _bearer(request)
        if key is not None and not hmac.compare_digest(key.encode(), session.request.query["key"].encode()):
            raise UnauthenticatedError("this is not the session's stream key")
        return session


def _bearer(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _reached_at(request: web.Request) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    host = str(name[0]) if name else ""
    return host.removeprefix("::ffff:").partition("%")[0]


def _refuse_other_type(request: web.Request, wanted: str) -> None:
    if request.content_type != wanted:
        raise _HttpError(415, f"the body must be {wanted}", fix=f"send Content-Type: {wanted}", code="media_type")


async def _read(request: web.Request, most_bytes: int) -> bytes:
    too_large = _HttpError(413, f"the body is larger than {most_bytes} bytes", code="too_large")
    if (request.content_length or 0) > most_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.content.iter_chunked(16 * 1024):
                body += chunk
                if len(body) > most_bytes:
                    raise too_large
    except TimeoutError:
        raise _HttpError(408, "the body took too long to arrive", code="body_slow") from None
    return bytes(body)


def _link(server: IceServer) -> str:
    """RFC 9725 4.6."""
    link = f'<{server.url}>; rel="ice-server"'
    if server.username:
        link += f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
    return link


def _preflight(methods: str, extra: dict[str, str]) -> web.Response:
    return web.Response(status=204, headers={**_PREFLIGHT, "Access-Control-Allow-Methods": methods, **extra})


def _not_allowed(methods: str) -> web.Response:
    response = _problem(_HttpError(405, "this address does not take the method", code="method_not_allowed"))
    response.headers["Allow"] = methods
    return response


def _problem(error: StreamdError) -> web.Response:
    """RFC 9457."""
    if isinstance(error, _HttpError):
        status, title = error.status, error.what
    else:
        status, title = next(
            ((status, title) for kind, status, title in _STATUSES if isinstance(error, kind)),
            (500, "The server failed"),
        )
    headers = {**_CORS, "Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="streamd"'
    retry_after_ms: int | None = getattr(error, "retry_after_ms", None)
    if retry_after_ms is not None:
        headers["Retry-After"] = str(-(-retry_after_ms // 1_000))
    detail = f"{error.what}: {error.why}" if error.why else error.what
    body = {
        "type": f"urn:streamd:problem:{error.code}",
        "title": title,
        "status": status,
        "code": error.code,
        "detail": detail,
        "fix": error.fix,
    }
    return web.Response(status=status, text=json.dumps(body), content_type="application/problem+json", headers=headers)
