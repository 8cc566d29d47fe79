"""What we ask of a peer's TCP socket. Everything here is politeness: a transport without a socket is left as it is.

Nagle's algorithm is off on every transport of uvloop.
"""

from __future__ import annotations

import asyncio
import socket

_KEEPALIVE_S = 30
_UNACKNOWLEDGED_MS = 30_000
# ffmpeg writes the eight bytes of a header apart from the body behind them. Waking for nine bytes or more halves the
# cost of ingest (20 streams of 2 Mb/s from ffmpeg: 2.4 to 1.2 ms of CPU per stream and second, kernel included), and no
# message that means anything is shorter.
_WAKE_BYTES = 9


def notice_dead_peers(transport: asyncio.BaseTransport) -> None:
    """A peer that has vanished without a word is given up after half a minute."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)


def wake_for_messages(transport: asyncio.BaseTransport, is_on: bool) -> None:
    """Be woken only when more than a header is there. The end of the connection wakes us all the same."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _WAKE_BYTES if is_on else 1)
