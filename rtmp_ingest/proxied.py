"""A connection through a load balancer: reads who it is for, then makes way for the RTMP connection proper.

Not counted as a connection until the header is there; one that does not come within `handshake_ms` is cut off. From
`neighbours`, addresses of this machine, RTMP may come without one: the synthetic programme pushes past the balancer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from rtmp_ingest.connection import Connection
from rtmp_ingest.proxy_protocol import Announced, read_header
from streamd.errors import ProtocolError
from streamd.telemetry.log import Log

_RTMP = 3  # the first byte of its handshake


class ProxiedConnection(asyncio.Protocol):
    """See the module's promise. `make` makes the connection that follows; its peer is set before it begins."""

    def __init__(
        self, *, make: Callable[[], Connection], patience_ms: int, neighbours: frozenset[str], log: Log
    ) -> None:
        self._make = make
        self._neighbours = neighbours
        self._log = log
        self._patience_ms = patience_ms
        self._data = b""
        self._transport: asyncio.Transport
        self._deadline: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._deadline = asyncio.get_running_loop().call_later(self._patience_ms / 1_000, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            header = self._read()
        except ProtocolError as error:
            peer = self._transport.get_extra_info("peername")
            self._log.warning("rtmp.proxy_header_refused", peer=str(peer), what=error.one_line())
            self._transport.abort()
            return
        if header is None:
            return
        self._deadline.cancel()
        connection = self._make()
        connection.announced_peer = header.peer
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        if connection.is_admitted and len(self._data) > header.size:
            connection.data_received(self._data[header.size :])

    def _read(self) -> Announced | None:
        if self._data[0] == _RTMP:
            peer = self._transport.get_extra_info("peername") or ("", 0)
            if peer[0] in self._neighbours:
                return Announced(None, 0)
        return read_header(self._data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._deadline.cancel()
