"""Socket.IO's two transports behind one `Door`: the only file that touches the insides of python-socketio and engineio.

Long polling is python-engineio's own, with its sessions, payloads, CORS and time-outs. WebSockets are answered here and
then belong to `danmaku.session`: the connection leaves aiohttp at the upgrade, so that an idle viewer costs no task, no
queue, no request object and no compressor (python-engineio needs six tasks, and 92 KiB more for a browser, because
aiohttp agrees to permessage-deflate). A polling session that upgrades is moved over with what it had not sent.

Every private name used is listed in tests/danmaku/test_socket_contract.py, which fails when a release changes one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import engineio
import orjson
import socketio
from aiohttp import web
from engineio import packet as eio_packet
from engineio.payload import Payload

from danmaku import wire
from danmaku.errors import WireError
from danmaku.fanout import Member, Sink
from danmaku.session import ClientLink, Door, WebSocketSession

PATH: Final = "/socket.io/"
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


class _Answered(web.StreamResponse):
    """What an aiohttp handler returns when its connection already belongs to somebody else: nothing is written."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> None:
        """There is nothing to prepare."""

    async def write_eof(self, data: bytes = b"") -> None:
        """There is nothing to end."""


class _Tail:
    """Takes the bytes that came behind the upgrade request, which aiohttp holds for whoever parses them next."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """More bytes."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """aiohttp lets go."""


def hand_over(request: web.Request, session: WebSocketSession, head: bytes) -> web.StreamResponse:
    """Take the connection away from aiohttp and give it to `session`, after writing `head`."""
    protocol, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client left before the upgrade")
    tail = _Tail()
    protocol.set_parser(tail)  # type: ignore[arg-type]
    transport.set_protocol(session)
    # aiohttp closes the transport it knows when it is told that the connection is lost, so it must know none.
    protocol.transport = None
    protocol.connection_lost(None)
    transport.write(head)
    session.connection_made(transport)
    if tail.data:
        asyncio.get_running_loop().call_soon(session.data_received, tail.data)
    return _Answered()


class _CountedQueue(asyncio.Queue[Any]):
    """An engine session's outgoing packets, with their weight."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self.size_bytes = 0

    def _put(self, item: Any) -> None:
        super()._put(item)
        self.size_bytes += _weight(item)

    def _get(self) -> Any:
        item = super()._get()
        self.size_bytes -= _weight(item)
        return item


def _weight(packet: Any) -> int:
    data = getattr(packet, "data", None)
    return len(data) if isinstance(data, str | bytes) else 1


class PollingLink:
    """A long-polling session as the gateway sees it; also the probe by which it becomes a WebSocket."""

    def __init__(self, server: RoomServer, engine_socket: Any, address: str) -> None:
        self._server = server
        self._socket = engine_socket
        self._queue = engine_socket.queue = _moved(engine_socket.queue)
        self.sid: str = engine_socket.sid
        self.address = address
        self.member: Member | None = None

    @property
    def sink(self) -> Sink | None:
        """See Link: polling takes no frames."""
        return None

    @property
    def is_open(self) -> bool:
        """See ClientLink."""
        return not self._socket.closed

    def send(self, packet: bytes) -> None:
        """See Link."""
        if not self._socket.closed:
            self._queue.put_nowait(eio_packet.Packet(eio_packet.MESSAGE, packet[1:].decode()))

    def backlog_bytes(self) -> int:
        """See Link."""
        return self._queue.size_bytes

    def close(self, reason: str) -> None:
        """See ClientLink."""
        self.send(wire.DISCONNECT_PACKET)
        self._server.spawn(self._close(reason, abort=False))

    def go_away(self) -> None:
        """See ClientLink."""
        self.abort("shutdown")

    def abort(self, reason: str) -> None:
        """See Link."""
        self._server.spawn(self._close(reason, abort=True))

    async def _close(self, reason: str, *, abort: bool) -> None:
        await self._socket.close(wait=False, abort=abort, reason=reason)

    def end_poll(self) -> None:
        """Answer the poll that waits; the engine would leave it hanging, and its client with it, for 45 seconds."""
        self._queue.put_nowait(eio_packet.Packet(eio_packet.NOOP))

    def on_probe(self) -> None:
        """See Probe."""
        self._socket.upgrading = True
        self._queue.put_nowait(eio_packet.Packet(eio_packet.NOOP))

    def on_failure(self) -> None:
        """See Probe."""
        self._socket.upgrading = False

    def on_upgrade(self, session: WebSocketSession) -> None:
        """See Probe. The engine forgets its session without a disconnect: the person has only changed vehicles."""
        engine_socket = self._socket
        engine_socket.upgrading, engine_socket.upgraded, engine_socket.closed = False, True, True
        self._server.eio.sockets.pop(self.sid, None)
        self._server.links.pop(self.sid, None)
        while not self._queue.empty():
            packet = self._queue.get_nowait()
            if packet is not None and packet.packet_type == eio_packet.MESSAGE:
                session.send(b"4" + packet.data.encode())
        self._server.on_moved(self, session)


def _moved(queue: asyncio.Queue[Any]) -> _CountedQueue:
    counted = _CountedQueue()
    while not queue.empty():
        counted.put_nowait(queue.get_nowait())
    return counted


class RoomEngine(engineio.AsyncServer):  # type: ignore[misc]
    """python-engineio, with the WebSocket transport taken out of its hands."""

    rooms: RoomServer

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """One HTTP request to the Socket.IO path."""
        query = request.query
        if query.get("transport") == "websocket":
            return self.rooms.accept(request)
        if "sid" not in query and request.method == "GET":
            refusal = self.rooms.refuse(request)
            if refusal is not None:
                return refusal
        answer: web.StreamResponse = await super().handle_request(request)
        return answer

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
        on_moved: Callable[[ClientLink, ClientLink], None],
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
        self.spawn = spawn
        self.on_moved = on_moved
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
        key = _valid_key(request)
        sid = request.query.get("sid", "")
        if key is None or request.query.get("EIO") != "4":
            return web.json_response(
                {"code": 5 if key else 3, "message": "A WebSocket of Engine.IO 4 was expected"}, status=400
            )
        if not self.eio.may_come_from(request):
            return web.json_response({"code": 4, "message": "Origin is not allowed"}, status=403)
        upgrade = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {wire.accept_key(key)}\r\n\r\n"
        ).encode()
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
        if link is None or engine_socket is None or engine_socket.upgrading or engine_socket.upgraded:
            return web.json_response({"code": 1, "message": "Session ID unknown"}, status=400)
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
        self._addresses[link.address] = self._addresses.get(link.address, 0) + 1
        self._door.on_open(link)

    def on_packet(self, link: ClientLink, packet: wire.Packet) -> None:
        """See Door."""
        self._door.on_packet(link, packet)

    def on_gone(self, link: ClientLink, reason: str) -> None:
        """See Door."""
        self.connections -= 1
        if not self.connections:
            self._empty.set()
        left = self._addresses.get(link.address, 1) - 1
        if left:
            self._addresses[link.address] = left
        else:
            self._addresses.pop(link.address, None)
        self._door.on_gone(link, reason)

    # -- what python-engineio calls for its polling sessions ---------------------------------------------------------

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        link = PollingLink(self, self.eio.sockets[eio_sid], self.address_of(environ["aiohttp.request"]))
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
            self.on_packet(link, wire.read_packet(data.encode()))
        except WireError:
            link.abort("protocol error")

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        link = self.links.pop(eio_sid, None)
        if link is not None:
            link.end_poll()
            self.on_gone(link, reason)


def _valid_key(request: web.Request) -> str | None:
    headers = request.headers
    key = headers.get("Sec-WebSocket-Key", "")
    try:
        is_nonce = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        is_nonce = False
    if (
        not is_nonce
        or request.method != "GET"
        or headers.get("Upgrade", "").lower() != "websocket"
        or "upgrade" not in headers.get("Connection", "").lower()
        or headers.get("Sec-WebSocket-Version") != "13"
    ):
        return None
    return key
