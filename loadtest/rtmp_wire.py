"""As much of RTMP's wire as a generator needs, written for generators: messages out, patterns in.

Sources: Adobe RTMP 1.0 sections 5.2, 5.3, 7.2; AMF0 sections 2.2 to 2.5. Pure: no sockets.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

Amf: TypeAlias = "float | str | bool | dict[str, Amf] | None"

HANDSHAKE_BYTES = 1536
AUDIO, VIDEO, AMF0_DATA, AMF0_COMMAND = 8, 9, 18, 20
SET_CHUNK_SIZE, ACKNOWLEDGEMENT, WINDOW_SIZE = 1, 3, 5
CHUNK_BYTES = 60_000  # what nginx-rtmp and streamd announce and ffmpeg adopts
STREAM_ID = 1  # both servers' first stream on a connection


def hello() -> bytes:
    """C0 and C1 of the simple handshake. The answer is S0, S1 and S2; C2 is an echo of S1."""
    return b"\x03" + bytes(HANDSHAKE_BYTES)


def amf0(*values: Amf) -> bytes:
    """Values one after the other."""
    return b"".join(_value(value) for value in values)


def _value(value: Amf) -> bytes:
    match value:
        case None:
            return b"\x05"
        case bool():
            return b"\x01\x01" if value else b"\x01\x00"
        case str():
            return b"\x02" + _name(value)
        case dict():
            body = b"".join(_name(key) + _value(inner) for key, inner in value.items())
            return b"\x03" + body + b"\x00\x00\x09"
        case _:
            return b"\x00" + struct.pack(">d", value)


def _name(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def message(
    kind: int, payload: bytes, *, csid: int, stream_id: int = 0, ts_ms: int = 0, chunk_bytes: int = 128
) -> bytes:
    """One message with a full (type 0) header."""
    head = bytes((csid,)) + ts_ms.to_bytes(3, "big") + len(payload).to_bytes(3, "big")
    return (
        head + bytes((kind,)) + stream_id.to_bytes(4, "little") + chunked(payload, csid=csid, chunk_bytes=chunk_bytes)
    )


def next_header(kind: int, length: int, *, csid: int, delta_ms: int) -> bytes:
    """The header of a message on the same stream as the one before it on its chunk stream (type 1)."""
    return bytes((0x40 | csid,)) + delta_ms.to_bytes(3, "big") + length.to_bytes(3, "big") + bytes((kind,))


def chunked(payload: bytes, *, csid: int, chunk_bytes: int) -> bytes:
    """A payload with the type 3 headers that continue it."""
    if len(payload) <= chunk_bytes:
        return payload
    pieces = (payload[at : at + chunk_bytes] for at in range(0, len(payload), chunk_bytes))
    return bytes((0xC0 | csid,)).join(pieces)


def command(name: str, transaction: int, *values: Amf, csid: int = 3, stream_id: int = 0) -> bytes:
    """A command message in chunks of the default size."""
    return message(AMF0_COMMAND, amf0(name, transaction, *values), csid=csid, stream_id=stream_id)


def connect(app: str, tc_url: str) -> bytes:
    """The command that opens a session, as FFmpeg says it."""
    about: dict[str, Amf] = {"app": app, "type": "nonprivate", "flashVer": "FMLE/3.0 (compatible; loadtest)"}
    return command("connect", 1, {**about, "tcUrl": tc_url})


def set_chunk_size() -> bytes:
    """From here on our chunks hold `CHUNK_BYTES`."""
    return message(SET_CHUNK_SIZE, CHUNK_BYTES.to_bytes(4, "big"), csid=2)


def acknowledgement(received_bytes: int) -> bytes:
    """How much we have taken so far, modulo 2**32."""
    return message(ACKNOWLEDGEMENT, (received_bytes & 0xFFFFFFFF).to_bytes(4, "big"), csid=2)
