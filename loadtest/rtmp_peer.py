"""Opening an RTMP connection as a publisher or a player, with a blocking socket. Afterwards it only moves bytes."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

from loadtest import rtmp_wire
from loadtest.machine import require_loopback


class RefusedError(RuntimeError):
    """The server said no, or something else than the protocol."""


def open_publisher(url: str, *, timeout_s: float = 10.0) -> socket.socket:
    """Connected, admitted, and ready for media messages. `url`: rtmp://host:port/app/stream."""
    peer = _Peer(url, timeout_s)
    peer.send(rtmp_wire.command("releaseStream", 2, None, peer.stream))
    peer.send(rtmp_wire.command("FCPublish", 3, None, peer.stream))
    peer.create_stream(4)
    peer.send(rtmp_wire.command("publish", 5, None, peer.stream, "live", stream_id=rtmp_wire.STREAM_ID))
    peer.wait_for(b"NetStream.Publish.Start")
    return peer.socket


def open_player(url: str, *, timeout_s: float = 10.0) -> socket.socket:
    """Connected and playing: media follows."""
    peer = _Peer(url, timeout_s)
    peer.create_stream(2)
    peer.send(rtmp_wire.command("play", 0, None, peer.stream, csid=8, stream_id=rtmp_wire.STREAM_ID))
    return peer.socket


class _Peer:
    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(require_loopback(url))
        app, _, stream = parts.path.strip("/").partition("/")
        self.stream = f"{stream}?{parts.query}" if parts.query else stream
        self.socket = socket.create_connection((parts.hostname, parts.port or 1935), timeout=timeout_s)
        self._read = bytearray()
        self.socket.sendall(rtmp_wire.hello())
        answer = self._exactly(1 + 2 * rtmp_wire.HANDSHAKE_BYTES)
        self.socket.sendall(answer[1 : 1 + rtmp_wire.HANDSHAKE_BYTES])
        self.send(rtmp_wire.connect(app, f"{parts.scheme}://{parts.netloc}/{app}"))
        self.wait_for(b"NetConnection.Connect.Success")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def create_stream(self, transaction: int) -> None:
        self.send(rtmp_wire.command("createStream", transaction, None))
        self.wait_for(b"\x02\x00\x07_result\x00" + struct.pack(">d", transaction))

    def wait_for(self, pattern: bytes) -> None:
        """Read until the pattern has come. An answer of these sizes is never cut by a chunk header."""
        while pattern not in self._read:
            try:
                data = self.socket.recv(65_536)
            except TimeoutError as silence:
                raise RefusedError(f"no {pattern!r} in time, but {bytes(self._read[-300:])!r}") from silence
            if not data:
                raise RefusedError(f"closed before {pattern!r}: {bytes(self._read[-300:])!r}")
            self._read += data
        del self._read[:]

    def _exactly(self, count: int) -> bytes:
        while len(self._read) < count:
            data = self.socket.recv(65_536)
            if not data:
                raise RefusedError("closed during the handshake")
            self._read += data
        taken = bytes(self._read[:count])
        del self._read[:count]
        return taken
