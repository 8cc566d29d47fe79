"""The handshake: 1 + 1536 + 1536 bytes each way (RTMP 1.0 section 5.2).

The server answers with a plain S1 whose bytes 4..7 are zero and an S2 that echoes C1. Zero there makes librtmp (OBS)
and ffmpeg take the simple path and verify nothing, so one code path serves every encoder in the field. C2 is read and
not compared: no encoder depends on it and it proves nothing.
"""

from __future__ import annotations

from streamd.errors import ProtocolError

VERSION = 3
BLOCK_BYTES = 1536
_C0_C1_BYTES = 1 + BLOCK_BYTES
RANDOM_BYTES = BLOCK_BYTES - 8


class ServerHandshake:
    """The server's side. `random` is 1528 bytes that this peer has not seen before."""

    def __init__(self, *, random: bytes) -> None:
        assert len(random) == RANDOM_BYTES
        self._random = random
        self._buffer = bytearray()
        self._answered = False

    def receive(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Bytes to send now, and what follows the handshake once it is complete (None until then).

        Raises ProtocolError ("handshake_version") for anything that does not begin like RTMP.
        """
        buffer = self._buffer
        if not buffer and data:
            _require_rtmp(data)
        buffer += data
        answer = b""
        if not self._answered and len(buffer) >= _C0_C1_BYTES:
            self._answered = True
            answer = bytes([VERSION]) + bytes(8) + self._random + bytes(buffer[1:_C0_C1_BYTES])
        if len(buffer) < _C0_C1_BYTES + BLOCK_BYTES:
            return answer, None
        return answer, bytes(buffer[_C0_C1_BYTES + BLOCK_BYTES :])


class ClientHandshake:
    """The client's side, likewise plain."""

    def __init__(self, *, random: bytes) -> None:
        assert len(random) == RANDOM_BYTES
        self.hello = bytes([VERSION]) + bytes(8) + random
        self._buffer = bytearray()

    def receive(self, data: bytes) -> tuple[bytes, bytes | None]:
        """As for the server: C2 when it is due, and what follows S2."""
        buffer = self._buffer
        if not buffer and data:
            _require_rtmp(data)
        buffer += data
        if len(buffer) < _C0_C1_BYTES + BLOCK_BYTES:
            return b"", None
        return bytes(buffer[1:_C0_C1_BYTES]), bytes(buffer[_C0_C1_BYTES + BLOCK_BYTES :])


def _require_rtmp(data: bytes) -> None:
    version = data[0]
    if version == VERSION:
        return
    why = {
        0x06: "this is RTMPE, which is not spoken here",
        0x08: "this is RTMPE, which is not spoken here",
        0x16: "this is TLS, and the port is for plain RTMP",
        ord("G"): "this is HTTP",
        ord("P"): "this is HTTP",
    }.get(version, f"version {version}")
    raise ProtocolError("The peer does not speak RTMP version 3", why=why, code="handshake_version")
