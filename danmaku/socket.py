"""Socket.IO's two transports behind one `Door`: with `danmaku.polling` all that touches python-socketio and engineio.

Long polling is python-engineio's own, with its sessions, payloads, CORS and time-outs. WebSockets are answered here and
then belong to `danmaku.session` (`danmaku.upgrade` says why). A polling session that upgrades is moved over with what
it had not sent.

Every private name used is listed in tests/danmaku/test_socket_contract.py, which fails when a release changes one.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import engineio
import orjson
import socketio
from aiohttp import web
from engineio.payload import Payload

from danmaku import wire
from danmaku.errors import WireError
from danmaku.polling import PollingLink
from danmaku.session import INBOUND, ClientLink, Door, WebSocketSession
from danmaku.upgrade import hand_over, switching_protocols, websocket_key
from streamd.cluster.bus import gcra

PATH: Final = "/socket.io/"
Forward = Callable[[web.Request, str], Awaitable[web.StreamResponse]]
_log: Final = logging.getLogger("streamd.danmaku.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """Limits of connections, whatever they are used for."""

    ping_interval_ms: int = 25_000
    ping_timeout_ms: int = 20_000
    connect_timeout_ms: int = 10_000
    max_message_bytes: int = 16 * 1024
    max_connections: int = 100_000
    max_connections_per_address: int = 2_000  # whole offices and phone networks share one
    allowed_origins: str | tuple[str, ...] | None = None  # None: the page's own host; "*": any
    trust_forwarded_for: bool = False


class RoomEngine(engineio.AsyncServer):  # type: ignore[misc]
    """python-engineio, with the WebSocket transport taken out of its hands."""

    rooms: RoomServer

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """One HTTP request to the Socket.IO path. What the protocol does not allow ends its session, and gets 400."""
        query, method = request.query, request.method
        if query.get("transport") == "websocket":
            return self.rooms.accept(request)
        if method != "OPTIONS" and query.get("transport") != "polling":
            return web.json_response({"code": 0, "message": "Transport unknown"}, status=400)
        sid = query.get("sid", "")
        lives_at = self.rooms.home_of(sid)
        if lives_at:
            return await self.rooms.forward(request, lives_at)
        if not sid and method == "GET":
            refusal = self.rooms.refuse(request)
            if refusal is not None:
                return refusal
        if sid and method == "GET":
            return await self._poll(request, sid)
        try:
            answer: web.StreamResponse = await super().handle_request(request)
        except KeyError:  # the engine's way to say that the session has ended just now
            return web.json_response({"code": 1, "message": "Session ID unknown"}, status=400)
        if sid and method == "POST":
            link = self.rooms.links.get(sid)
            if link is not None and link.broke_protocol:
                answer = web.json_response({"code": 3, "message": "Bad request"}, status=400)
            if answer.status >= 400:
                self.rooms.end(sid, "protocol error")
        return answer

    async def _poll(self, request: web.Request, sid: str) -> web.StreamResponse:
        polls = self.rooms.polls
        if sid in polls:
            self.rooms.end(sid, "protocol error")
            return web.json_response({"code": 3, "message": "A poll is waiting already"}, status=400)
        polls.add(sid)
        try:
            answer: web.StreamResponse = await super().handle_request(request)
            return answer
        finally:
            polls.discard(sid)

    def _ok(self, packets: Any = None, headers: Any = None, jsonp_index: int | None = None) -> dict[str, Any]:
        """The protocol's word is "ok", in small letters."""
        answer: dict[str, Any] = super()._ok(packets, headers, jsonp_index)
        if packets is None:
            answer["response"] = b"ok"
        return answer

    def generate_id(self) -> str:
        """A session's id says which worker it lives in."""
        name: str = super().generate_id()
        return f"{self.rooms.worker}.{name}" if self.rooms.worker else name

    def may_come_from(self, request: web.Request) -> bool:
        """The engine's own rule about origins, for requests that it never sees."""
        origin = request.headers.get("Origin")
        if not origin or self.cors_allowed_origins == []:
            return True
        headers = request.headers
        environ = {"wsgi.url_scheme": headers.get("X-Forwarded-Proto", "http"), "HTTP_ORIGIN": origin}
        for name in ("Host", "X-Forwarded-Host", "X-Forwarded-Proto"):
            if name in headers:
                environ["HTTP_" + name.upper().replace("-", "_")] = headers[name]
        allowed = self._cors_allowed_origins(environ)
        return allowed is None or origin in allowed


class RoomServer(socketio.AsyncServer):  # type: ignore[misc]
    """python-socketio's server, whose packets go to a `Door` from either transport."""

    def __init__(
        self,
        *,
        door: Door,
        settings: TransportSettings,
        now_ms: Callable[[], int],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        origins = settings.allowed_origins
        super().__init__(
            async_mode="aiohttp",
            async_handlers=False,
            ping_interval=settings.ping_interval_ms / 1_000,
            ping_timeout=settings.ping_timeout_ms / 1_000,
            max_http_buffer_size=settings.max_message_bytes,
            cors_allowed_origins=list(origins) if isinstance(origins, tuple) else origins,
            logger=_log,
            engineio_logger=_log,
        )
        self.eio.rooms = self
        self.links: dict[str, PollingLink] = {}
        self.polls: set[str] = set()  # sessions whose poll waits
        self.worker = ""  # where there are several, this one's name
        self.forward: Forward = _nowhere
        self.spawn = spawn
        self._door = door
        self._settings = settings
        self._now_ms = now_ms
        self._addresses: dict[str, int] = {}
        self.connections = 0
        self.refused = 0
        self._empty = asyncio.Event()
        # A viewer who taps likes while a poll is under way sends more than the 16 packets that are the default; the
        # engine would drop them all and answer "ok".
        Payload.max_decode_packets = 128

    def _engineio_server_class(self) -> type[RoomEngine]:
        return RoomEngine

    def home_of(self, sid: str) -> str:
        """The other worker that a polling session lives in; empty for ours."""
        worker, dot, _ = sid.partition(".")
        return worker if dot and self.worker and worker != self.worker else ""

    def address_of(self, request: web.Request) -> str:
        """Whose connection it is, for limits."""
        if self._settings.trust_forwarded_for:
            forwarded = request.headers.get("X-Forwarded-For")
            if forwarded:
                return forwarded.rpartition(",")[2].strip()
        return request.remote or ""

    def refuse(self, request: web.Request) -> web.Response | None:
        """503 when there are too many connections in all or from one address."""
        settings = self._settings
        per_address = self._addresses.get(self.address_of(request), 0)
        if self.connections < settings.max_connections and per_address < settings.max_connections_per_address:
            return None
        self.refused += 1
        return web.Response(
            status=503, headers={"Retry-After": "5"}, text='{"code":3,"message":"Too many connections"}'
        )

    def accept(self, request: web.Request) -> web.StreamResponse:
        """Answer a WebSocket upgrade."""
        key = websocket_key(request)
        sid = request.query.get("sid", "")
        if key is None or request.query.get("EIO") != "4":
            return web.json_response(
                {"code": 5 if key else 3, "message": "A WebSocket of Engine.IO 4 was expected"}, status=400
            )
        if not self.eio.may_come_from(request):
            return web.json_response({"code": 4, "message": "Origin is not allowed"}, status=403)
        upgrade = switching_protocols(key)
        if sid:
            return self._accept_upgrade(request, sid, upgrade)
        refusal = self.refuse(request)
        if refusal is not None:
            return refusal
        session = self._session(request, secrets.token_urlsafe(15))
        return hand_over(request, session, upgrade + wire.frame(self._open_packet(session.sid)))

    def _accept_upgrade(self, request: web.Request, sid: str, upgrade: bytes) -> web.StreamResponse:
        link = self.links.get(sid)
        engine_socket = self.eio.sockets.get(sid)
        if link is None or engine_socket is None or engine_socket.upgraded:
            return web.json_response({"code": 1, "message": "Session ID unknown"}, status=400)
        if link.is_trying:
            return web.json_response({"code": 3, "message": "A WebSocket is trying already"}, status=400)
        return hand_over(request, self._session(request, sid, link), upgrade)

    def _session(self, request: web.Request, sid: str, probe: PollingLink | None = None) -> WebSocketSession:
        return WebSocketSession(
            door=self,
            now_ms=self._now_ms,
            sid=sid,
            address=self.address_of(request),
            max_bytes=self._settings.max_message_bytes,
            probe=probe,
        )

    def _open_packet(self, sid: str) -> bytes:
        settings = self._settings
        return wire.open_packet(
            orjson.dumps(
                {
                    "sid": sid,
                    "upgrades": [],
                    "pingInterval": settings.ping_interval_ms,
                    "pingTimeout": settings.ping_timeout_ms,
                    "maxPayload": settings.max_message_bytes,
                }
            )
        )

    async def wait_empty(self) -> None:
        """Return once there is no connection. Cancel-safe: yes."""
        while self.connections:
            self._empty.clear()
            await self._empty.wait()

    # -- connections are counted here, for both transports, on their way to the door --------------------------------

    def on_open(self, link: ClientLink) -> None:
        """See Door."""
        self.connections += 1
        self._count(link.address, 1)
        self._door.on_open(link)

    def on_packet(self, link: ClientLink, packet: wire.Packet) -> None:
        """See Door."""
        self._door.on_packet(link, packet)

    def on_moved(self, old: ClientLink, new: ClientLink) -> None:
        """See Door. Still one connection, from where it is now."""
        self._count(old.address, -1)
        self._count(new.address, 1)
        self._door.on_moved(old, new)

    def on_gone(self, link: ClientLink, reason: str) -> None:
        """See Door."""
        self.connections -= 1
        if not self.connections:
            self._empty.set()
        self._count(link.address, -1)
        self._door.on_gone(link, reason)

    def _count(self, address: str, change: int) -> None:
        count = self._addresses.get(address, 0) + change
        if count > 0:
            self._addresses[address] = count
        else:
            self._addresses.pop(address, None)

    # -- what python-engineio calls for its polling sessions ---------------------------------------------------------

    def forget(self, eio_sid: str) -> None:
        """See PollingServer."""
        self.eio.sockets.pop(eio_sid, None)
        self.links.pop(eio_sid, None)

    def end(self, eio_sid: str, reason: str) -> None:
        """End a polling session, if there is one of this id."""
        link = self.links.get(eio_sid)
        if link is not None:
            link.abort(reason)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        # The engine announces whole seconds only: 0 for 300 ms.
        terms = {
            "pingInterval": self._settings.ping_interval_ms,
            "pingTimeout": self._settings.ping_timeout_ms,
        }
        address = self.address_of(environ["aiohttp.request"])
        probe_s = self._settings.connect_timeout_ms / 1_000
        link = PollingLink(self, self.eio.sockets[eio_sid], address, terms, probe_s=probe_s)
        self.links[eio_sid] = link
        self.on_open(link)

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        link = self.links.get(eio_sid)
        if link is None:
            return
        try:
            if not isinstance(data, str):
                # The engine has parsed what looks like JSON; Socket.IO packets begin with a digit and never do.
                raise WireError("rooms carry no binary messages")
            link.arrival_ms, wait_ms = gcra(link.arrival_ms, self._now_ms(), INBOUND)
            if wait_ms:
                raise WireError("too many packets")
            self.on_packet(link, wire.read_packet(data.encode()))
        except WireError:
            link.abort("protocol error")

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        link = self.links.pop(eio_sid, None)
        if link is not None:
            link.end_poll()
            self.on_gone(link, reason)


async def _nowhere(request: web.Request, worker: str) -> web.StreamResponse:
    """A node that is one worker has nowhere to forward to."""
    del request, worker
    return web.json_response({"code": 1, "message": "Session ID unknown"}, status=400)
