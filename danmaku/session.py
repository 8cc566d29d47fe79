"""One WebSocket of one viewer: a protocol on its transport, without a task, a queue or a compressor.

In: what the client sends, as packets to the `Door`. Out: frames, written straight to the transport. A session costs the
transport, this object and a reader; everything that is periodic is done for all of them by one `PingWheel`. A violation
of the protocol, too many packets, or silence ends this session and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol, cast

from danmaku import wire
from danmaku.errors import WireError
from danmaku.fanout import Link, Member, Sink
from streamd.cluster.bus import Limit, gcra

# Kernel memory for one reader that stalls: at most twice SO_SNDBUF, of which not more than the second unsent.
_SEND_BUFFER_BYTES: Final = 64 * 1024
_UNSENT_BYTES: Final = 16 * 1024
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
INBOUND: Final = Limit("inbound", 20, 200)
_LAST_WORDS_S: Final = 2.0


class Door(Protocol):
    """Where connections come in. Both transports speak to it alike."""

    def on_open(self, link: ClientLink) -> None:
        """A connection is there; it has yet to say which room."""
        ...

    def on_packet(self, link: ClientLink, packet: wire.Packet) -> None:
        """A Socket.IO packet. May raise WireError to end the connection."""
        ...

    def on_moved(self, old: ClientLink, new: ClientLink) -> None:
        """One person's connection has become another: from polling to a WebSocket."""
        ...

    def on_gone(self, link: ClientLink, reason: str) -> None:
        """The connection is no more. Called once for every `on_open`."""
        ...


class ClientLink(Link, Protocol):
    """A connection as the gateway holds it."""

    sid: str
    address: str
    member: Member | None

    @property
    def is_open(self) -> bool:
        """Whether the client may still be there."""
        ...

    def close(self, reason: str) -> None:
        """Tell the client to stay away, then end the connection; by force when that does not go out in two seconds."""
        ...

    def go_away(self) -> None:
        """End the connection so that the client comes back, to this node or another."""
        ...


class WebSocketSession(asyncio.Protocol):
    """One WebSocket. Made by `danmaku.socket`, which answers the upgrade."""

    __slots__ = (
        "_arrival_ms",
        "_door",
        "_now_ms",
        "_reader",
        "_reason",
        "_transport",
        "address",
        "beats",
        "member",
        "probe",
        "sid",
    )

    def __init__(
        self,
        *,
        door: Door,
        now_ms: Callable[[], int],
        sid: str,
        address: str,
        max_bytes: int,
        probe: Probe | None = None,
    ) -> None:
        self._door = door
        self._now_ms = now_ms
        self._reader = wire.FrameReader(max_bytes=max_bytes)
        self._transport: asyncio.Transport | None = None
        self._arrival_ms = 0
        self._reason = ""
        self.sid = sid
        self.address = address
        self.member: Member | None = None
        self.probe = probe  # while a polling session tries this WebSocket out
        self.beats = 0  # pings since the client was heard

    @property
    def sink(self) -> Sink | None:
        """The transport, for frames that many share."""
        return self._transport

    @property
    def is_open(self) -> bool:
        """See ClientLink."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called with a transport that already spoke HTTP."""
        # A cast, for uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            raw.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        if self.probe is None:
            self._door.on_open(self)
        else:
            self.probe.on_try(self)

    def data_received(self, data: bytes) -> None:
        """Bytes in any slices."""
        self.beats = 0
        try:
            for opcode, payload in self._reader.feed(data):
                self._take(opcode, payload)
        except WireError as error:
            self._end(error.close_code, error.what)

    def _take(self, opcode: int, payload: bytes) -> None:
        if self._transport is None:
            return
        self._arrival_ms, wait_ms = gcra(self._arrival_ms, self._now_ms(), INBOUND)
        if wait_ms:
            raise WireError("too many packets", close_code=1008)
        if opcode == wire.TEXT:
            self._take_packet(payload)
        elif opcode == wire.PING:
            self._transport.write(wire.frame(payload, wire.PONG))
        elif opcode == wire.CLOSE:
            self._end(1000, "")
        elif opcode == wire.BINARY:
            raise WireError("rooms carry no binary messages", close_code=1003)

    def _take_packet(self, payload: bytes) -> None:
        kind = payload[0] if payload else 0
        if self.probe is not None:
            self._take_probe(payload)
        elif kind == wire.EIO_MESSAGE:
            self._door.on_packet(self, wire.read_packet(payload[1:]))
        elif kind == wire.EIO_CLOSE:
            self._end(1000, "")
        elif kind == wire.EIO_PING:
            self.write(wire.frame(b"3" + payload[1:]))
        elif kind not in (wire.EIO_PONG, wire.EIO_NOOP, wire.EIO_UPGRADE):
            raise WireError("unknown Engine.IO packet")

    def _take_probe(self, payload: bytes) -> None:
        probe = self.probe
        assert probe is not None
        if payload == b"2probe":
            self.write(wire.PROBE_ANSWER_FRAME)
            probe.on_probe()
        elif payload[:1] == b"5":
            self.probe = None
            probe.on_upgrade(self)
        else:
            raise WireError("a probe was expected")

    def write(self, data: bytes) -> None:
        """Ready-made frames."""
        if self._transport is not None:
            self._transport.write(data)

    def send(self, packet: bytes) -> None:
        """See Link."""
        if self._transport is not None:
            self._transport.write(wire.frame(packet))

    def backlog_bytes(self) -> int:
        """See Link."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self, reason: str) -> None:
        """See ClientLink."""
        if self._transport is not None:
            self.send(wire.DISCONNECT_PACKET)
            self._end(1000, reason)

    def go_away(self) -> None:
        """See ClientLink."""
        self._end(1001, "shutdown")

    def _end(self, code: int, reason: str) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._reason = self._reason or reason or "client disconnect"
        transport.write(wire.close_frame(code, reason))
        transport.close()
        # A reader that has stalled never takes the last words, and a transport that waits for it would never go.
        asyncio.get_running_loop().call_later(_LAST_WORDS_S, transport.abort)

    def abort(self, reason: str) -> None:
        """See Link."""
        if self._transport is not None:
            self._reason = self._reason or reason
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone, and with it all that was queued."""
        if self._transport is None:
            return
        self._transport = None
        if self.probe is not None:
            self.probe.on_failure()
        else:
            self._door.on_gone(self, self._reason or ("transport close" if exc is None else "transport error"))


class Probe(Protocol):
    """A polling session that may be upgraded to a WebSocket."""

    def on_try(self, session: WebSocketSession) -> None:
        """A WebSocket is there, and is to prove itself."""
        ...

    def on_probe(self) -> None:
        """The WebSocket works: polling holds its packets back from now on."""
        ...

    def on_upgrade(self, session: WebSocketSession) -> None:
        """The client has moved; everything held back goes out through `session`."""
        ...

    def on_failure(self) -> None:
        """The WebSocket went away before that; polling goes on."""
        ...


class PingWheel:
    """Pings for all WebSockets by one timer: each session has a slot, each slot its turn once an interval.

    A session that was not heard between two of its turns is aborted. Sessions that have not joined a room within the
    connect timeout are aborted as well.
    """

    SLOTS: Final = 25

    def __init__(self, *, interval_ms: int, connect_timeout_ms: int, now_ms: Callable[[], int]) -> None:
        self._interval_ms = interval_ms
        self._connect_timeout_ms = connect_timeout_ms
        self._now_ms = now_ms
        self._slots: list[set[WebSocketSession]] = [set() for _ in range(self.SLOTS)]
        self._slot_of: dict[WebSocketSession, int] = {}
        self._strangers: dict[ClientLink, int] = {}  # in order of arrival
        self._turn = 0
        self.timeouts = 0
        self.never_joined = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, link: ClientLink) -> None:
        """A connection that is there but in no room."""
        self.add_stranger(link)
        self.watch(link)

    def watch(self, link: ClientLink) -> None:
        """Ping this one, if it is a WebSocket. Polling sessions are watched by their engine."""
        if isinstance(link, WebSocketSession):
            # The slot before the hand: a whole interval passes before its first ping.
            slot = (self._turn - 1) % self.SLOTS
            self._slots[slot].add(link)
            self._slot_of[link] = slot

    def add_stranger(self, link: ClientLink) -> None:
        """It left its room and has the connect timeout to find another."""
        self._strangers[link] = self._now_ms() + self._connect_timeout_ms

    def joined(self, link: ClientLink) -> None:
        """It has a room now."""
        self._strangers.pop(link, None)

    def remove(self, link: ClientLink) -> None:
        """It is gone. Idempotent."""
        self._strangers.pop(link, None)
        if isinstance(link, WebSocketSession):
            slot = self._slot_of.pop(link, None)
            if slot is not None:
                self._slots[slot].discard(link)

    def links(self) -> list[WebSocketSession]:
        """All WebSockets."""
        return list(self._slot_of)

    def turn(self) -> None:
        """One slot's turn."""
        for session in list(self._slots[self._turn]):
            if session.beats:
                self.timeouts += 1
                session.abort("ping timeout")
            else:
                session.beats = 1
                session.write(wire.PING_FRAME)
        self._turn = (self._turn + 1) % self.SLOTS
        now_ms = self._now_ms()
        while self._strangers:
            link, deadline_ms = next(iter(self._strangers.items()))
            if deadline_ms > now_ms:
                break
            del self._strangers[link]
            self.never_joined += 1
            link.abort("connect timeout")

    async def run(self) -> None:
        """Turn until cancelled. Cancel-safe: yes."""
        while True:
            await asyncio.sleep(self._interval_ms / 1_000 / self.SLOTS)
            self.turn()
