"""A viewer over a connection that aiohttp accepted: written ready-made bytes past aiohttp's own writer.

In: bytes from the fan-out. Out: the same bytes to the transport. While it has the connection it stands between the
transport and aiohttp's protocol and passes every event on, so that it knows of a lost connection in the same moment
(aiohttp tells a handler that is not reading only if it may be cancelled at any point).

What is written before the connection is handed over (`take`) waits, so that an answer's headers come first. It is
little: the time between admission and headers.
"""

from __future__ import annotations

import asyncio
import socket

# The kernel takes no more than so much unsent: the rest stays here, where it is seen, bounded, and shared by viewers.
_NOT_SENT_BYTES = 64 * 1024
_GONE = "gone"


class ConnectionViewer(asyncio.Protocol):
    """Implements `Viewer`."""

    __slots__ = ("_early", "_protocol", "_transport", "ended")

    def __init__(self) -> None:
        self._early: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._protocol: asyncio.Protocol | None = None  # aiohttp's
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # with the reason

    def take(self, transport: asyncio.Transport | None) -> None:
        """The headers are out: the connection is ours until `give_back`. None: it was lost meanwhile."""
        early, self._early = self._early, []
        if transport is None or transport.is_closing():
            self._end(_GONE)
            return
        protocol = transport.get_protocol()
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol
        transport.set_protocol(self)
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES)
        for data in early:
            transport.write(data)
        if not self.ended.done():
            self._transport = transport

    def give_back(self, transport: asyncio.Transport | None) -> None:
        """aiohttp has its connection again. Nothing more is written. Idempotent."""
        self._end(_GONE)
        protocol, self._protocol = self._protocol, None
        if protocol is not None and transport is not None and transport.get_protocol() is self:
            transport.set_protocol(protocol)

    # --- Viewer ---

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
        elif not self.ended.done():
            self._early.append(data)

    def backlog_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def close(self, reason: str) -> None:
        transport = self._transport
        self._end(reason)
        if reason != "ended" and transport is not None:
            transport.abort()

    # --- asyncio.Protocol, passed on ---

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(_GONE)
        if self._protocol is not None:
            self._protocol.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._protocol is not None:
            self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received() if self._protocol is not None else None

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    def _end(self, reason: str) -> None:
        self._transport = None
        if not self.ended.done():
            self.ended.set_result(reason)


class Probe:
    """A viewer that only asks whether it would be admitted. Implements `Viewer`."""

    def write(self, data: bytes) -> None:
        """Not kept."""

    def backlog_bytes(self) -> int:
        return 0

    def close(self, reason: str) -> None:
        """Nothing is open."""
