"""A long-polling session of python-engineio as rooms see it: a link like any other, and a probe that may upgrade it.

The engine keeps sessions, payloads and time-outs; here its queue gets a weight (so that a poller who stalls is shed and
cut off like any other), its announcement gets fractions of a second, and its packets move over to the WebSocket when
there is one. Private names used here are held by tests/danmaku/test_socket_contract.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from engineio import packet as eio_packet
from engineio.exceptions import ContentTooLongError, EngineIOError
from engineio.payload import Payload

from danmaku import wire
from danmaku.fanout import Member, Sink
from danmaku.session import ClientLink, WebSocketSession


class PollingServer(Protocol):
    """Where the sessions live: `danmaku.socket.RoomServer`."""

    @property
    def spawn(self) -> Callable[[Coroutine[Any, Any, None]], object]:
        """Runs work that belongs to nobody else."""
        ...

    def forget(self, eio_sid: str) -> None:
        """The session is one no more: it has become a WebSocket."""
        ...

    def on_moved(self, old: ClientLink, new: ClientLink) -> None:
        """See Door."""
        ...


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

    def __init__(
        self, server: PollingServer, engine_socket: Any, address: str, terms: dict[str, int], *, probe_s: float
    ) -> None:
        self._server = server
        self._socket = engine_socket
        self._queue = engine_socket.queue = _moved(engine_socket.queue, terms)
        engine_socket.handle_post_request = self._take_post
        self.sid: str = engine_socket.sid
        self.address = address
        self.member: Member | None = None
        self.broke_protocol = False
        self.arrival_ms = 0  # of packets, for their limit
        self._probe_s = probe_s
        self._trying: WebSocketSession | None = None
        self._patience: asyncio.TimerHandle | None = None

    @property
    def sink(self) -> Sink | None:
        """See Link: polling takes no frames."""
        return None

    @property
    def is_trying(self) -> bool:
        """Whether a WebSocket is trying to take this session over: one at a time, for it is counted as this session."""
        return self._trying is not None

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

    async def _take_post(self, environ: Mapping[str, Any]) -> None:
        """In the engine's place, which takes a body that is no packets for a fault of its own: a trace in the log, and
        200. Here it `broke_protocol`, and whoever serves the request ends the session with 400.
        """
        try:
            limit_bytes = self._socket.server.max_http_buffer_size
            body = b""
            while len(body) <= limit_bytes and (more := await environ["wsgi.input"].readany()):
                body += more
            if len(body) > limit_bytes:
                raise ContentTooLongError  # an EngineIOError
            packets = Payload(encoded_payload=body.decode()).packets
            for packet in packets:
                await self._socket.receive(packet)
        except (ValueError, LookupError, TypeError, RecursionError, EngineIOError):
            self.broke_protocol = True

    def end_poll(self) -> None:
        """Answer the poll that waits; the engine would leave it hanging, and its client with it, for 45 seconds."""
        self._queue.put_nowait(eio_packet.Packet(eio_packet.NOOP))
        if self._trying is not None:
            self._trying.abort("session ended")

    def on_try(self, session: WebSocketSession) -> None:
        """See Probe. A WebSocket that only stands there is ended: nobody pings it yet."""
        self._trying = session
        self._patience = asyncio.get_running_loop().call_later(self._probe_s, session.abort, "probe timeout")

    def _end_try(self) -> None:
        self._trying = None
        if self._patience is not None:
            self._patience.cancel()

    def on_probe(self) -> None:
        """See Probe."""
        self._socket.upgrading = True
        self._queue.put_nowait(eio_packet.Packet(eio_packet.NOOP))

    def on_failure(self) -> None:
        """See Probe."""
        self._end_try()
        self._socket.upgrading = False

    def on_upgrade(self, session: WebSocketSession) -> None:
        """See Probe. The engine forgets its session without a disconnect: the person has only changed vehicles."""
        self._end_try()
        engine_socket = self._socket
        engine_socket.upgrading, engine_socket.upgraded, engine_socket.closed = False, True, True
        self._server.forget(self.sid)
        while not self._queue.empty():
            packet = self._queue.get_nowait()
            if packet is not None and packet.packet_type == eio_packet.MESSAGE:
                session.send(b"4" + packet.data.encode())
        self._server.on_moved(self, session)


def _moved(queue: asyncio.Queue[Any], terms: dict[str, int]) -> _CountedQueue:
    counted = _CountedQueue()
    while not queue.empty():
        packet = queue.get_nowait()
        if packet.packet_type == eio_packet.OPEN:
            packet.data.update(terms)
        counted.put_nowait(packet)
    return counted
