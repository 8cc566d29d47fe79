"""The WebSocket upgrade: a request is checked and answered, and the connection leaves aiohttp for a session of ours.

So that an idle viewer costs no task, no queue, no request object and no compressor (python-engineio needs six tasks,
and 92 KiB more for a browser, because aiohttp agrees to permessage-deflate). RFC 6455, section 4.2; extensions and
subprotocols are offered by nobody and agreed to by nobody.

What is done to aiohttp's connection is held by tests/danmaku/test_socket_contract.py, which fails when a release
changes it. Not here: who may come in (`danmaku.socket`), what is said then (`danmaku.session`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii

from aiohttp import web

from danmaku import wire
from danmaku.session import WebSocketSession


def websocket_key(request: web.Request) -> str | None:
    """The key of a request that is a WebSocket's; None for any other."""
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


def switching_protocols(key: str) -> bytes:
    """The answer to a request with this key."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {wire.accept_key(key)}\r\n\r\n"
    ).encode()


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
