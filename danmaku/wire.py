"""Bytes of the room protocol: WebSocket frames, Engine.IO v4 and Socket.IO v5 packets, without I/O.

In: bytes of one client, in any slices; ready-made JSON. Out: messages, and frames that are built once and written to
every member. A *packet* here is the text of one Engine.IO message packet (`42["danmaku",[…]]`); a *frame* is a packet
inside one unmasked WebSocket text frame. JSON is neither parsed nor made here: payloads are bytes that hold it.

Sources: RFC 6455 section 5; Engine.IO protocol v4; Socket.IO protocol v5. Binary attachments are not part of the room
contract and are refused. No compression: a frame that many share cannot depend on one connection's history.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Final, NamedTuple

from danmaku.errors import WireError

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_CONTINUATION: Final = 0x0

# Engine.IO packet types, as the byte that opens a packet.
EIO_OPEN: Final = ord("0")
EIO_CLOSE: Final = ord("1")
EIO_PING: Final = ord("2")
EIO_PONG: Final = ord("3")
EIO_MESSAGE: Final = ord("4")
EIO_UPGRADE: Final = ord("5")
EIO_NOOP: Final = ord("6")

# Socket.IO packet types, as the byte that follows Engine.IO's "4".
SIO_CONNECT: Final = ord("0")
SIO_DISCONNECT: Final = ord("1")
SIO_EVENT: Final = ord("2")
SIO_ACK: Final = ord("3")

_ACCEPT_SALT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DIGITS: Final = frozenset(b"0123456789")
_MAX_ACK_DIGITS: Final = 15


class Packet(NamedTuple):
    """One Socket.IO packet from a client. `body` is JSON or empty; `ack_id` is -1 when none was asked for."""

    kind: int
    namespace: bytes
    ack_id: int
    body: bytes


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455, 4.2.2)."""
    return b64encode(sha1(key.encode("ascii", "replace") + _ACCEPT_SALT, usedforsecurity=False).digest()).decode()


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One unmasked, final frame, as a server sends it."""
    size = len(payload)
    head = 0x80 | opcode
    if size < 126:
        return bytes((head, size)) + payload
    if size < 65_536:
        return bytes((head, 126, size >> 8, size & 0xFF)) + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to what a control frame can hold."""
    return frame(code.to_bytes(2, "big") + reason.encode()[:123], CLOSE)


PING_FRAME: Final = frame(b"2")
PROBE_ANSWER_FRAME: Final = frame(b"3probe")
NOOP_FRAME: Final = frame(b"6")
DISCONNECT_PACKET: Final = b"41"


def open_packet(body: bytes) -> bytes:
    """Engine.IO handshake: `body` is JSON with sid, upgrades, pingInterval, pingTimeout and maxPayload."""
    return b"0" + body


def connect_packet(sid: str) -> bytes:
    """The namespace `/` is joined."""
    return b'40{"sid":"' + sid.encode() + b'"}'


def connect_error_packet(body: bytes, namespace: bytes = b"") -> bytes:
    """The namespace is not joined; `body` is JSON `{"message", "data"?}`."""
    return b"44" + (namespace + b"," if namespace else b"") + body


def event_packet(event: str, body: bytes) -> bytes:
    """An event with one argument."""
    return b'42["' + event.encode() + b'",' + body + b"]"


def ack_packet(ack_id: int, body: bytes) -> bytes:
    """The answer to the client's event `ack_id`."""
    return b"43" + str(ack_id).encode() + b"[" + body + b"]"


def read_packet(message: bytes) -> Packet:
    """Split one Socket.IO packet, without Engine.IO's leading "4". Raises WireError for what no client sends."""
    if not message:
        raise WireError("empty Socket.IO packet")
    kind = message[0]
    if kind not in (SIO_CONNECT, SIO_DISCONNECT, SIO_EVENT, SIO_ACK):
        raise WireError(f"Socket.IO packet type {chr(kind)!r} is not part of this protocol")
    at = 1
    namespace = b""
    if message[1:2] == b"/":
        comma = message.find(b",")
        if comma < 0:
            comma = len(message)
        namespace = message[1:comma].split(b"?", 1)[0]
        at = comma + 1
        if namespace == b"/":
            namespace = b""
    start = at
    while at < len(message) and message[at] in _DIGITS:
        at += 1
    if at - start > _MAX_ACK_DIGITS:
        raise WireError("acknowledgement id is too long")
    ack_id = int(message[start:at]) if at > start else -1
    return Packet(kind, namespace, ack_id, message[at:])


class FrameReader:
    """The client's half of one WebSocket: bytes in any slices to whole messages.

    `feed` gives `(opcode, payload)` for text and binary messages (fragments joined), pings, pongs and the close frame.
    Raises WireError, with the close code to answer, on the first violation; the reader is of no use after that.
    """

    __slots__ = ("_fragments", "_kind", "_max_bytes", "_rest", "_size")

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = b""
        # Of a message in fragments. None (not an empty list) for the thousands of readers that never see one.
        self._fragments: list[bytes] | None = None
        self._kind = 0
        self._size = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Messages that `data` completes, in order."""
        if self._rest:
            data = self._rest + data
        messages: list[tuple[int, bytes]] = []
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = self._head(data, at, end)
            if start < 0 or end - start < size:
                break
            payload = _unmask(data[start : start + size], data[start - 4 : start])
            self._take(data[at], payload, messages)
            at = start + size
        self._rest = data[at:] if at < end else b""
        return messages

    def _head(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        """(payload size, where the payload starts); start is -1 while the header is incomplete."""
        first, second = data[at], data[at + 1]
        if first & 0x70:
            raise WireError("reserved bits are set and no extension was agreed")
        if not second & 0x80:
            raise WireError("a client must mask its frames")
        size, start = second & 0x7F, at + 6
        if size >= 126:
            if first & 0x08:
                raise WireError("a control frame is longer than 125 bytes")
            width = 2 if size == 126 else 8
            start += width
            if end < start:
                return 0, -1
            size = int.from_bytes(data[at + 2 : at + 2 + width], "big")
        if size + self._size > self._max_bytes:
            raise WireError("message is too large", close_code=1009)
        return size, start if end >= start else -1

    def _take(self, first: int, payload: bytes, messages: list[tuple[int, bytes]]) -> None:
        opcode = first & 0x0F
        final = first & 0x80
        if opcode in (TEXT, BINARY) and final and self._fragments is None:
            messages.append((opcode, _checked(opcode, payload)))
            return
        if opcode in (CLOSE, PING, PONG):
            if not final:
                raise WireError("a control frame is fragmented")
            messages.append((opcode, payload))
            return
        self._fragment(opcode, bool(final), payload, messages)

    def _fragment(self, opcode: int, final: bool, payload: bytes, messages: list[tuple[int, bytes]]) -> None:
        if opcode in (TEXT, BINARY):
            if self._fragments is not None:
                raise WireError("a new message began inside a fragmented one")
            self._fragments, self._kind = [], opcode
        elif opcode != _CONTINUATION:
            raise WireError(f"unknown opcode {opcode}")
        elif self._fragments is None:
            raise WireError("a continuation without a beginning")
        self._fragments.append(payload)
        self._size += len(payload)
        if len(self._fragments) > 64:
            raise WireError("a message in more than 64 fragments", close_code=1008)
        if final:
            whole = b"".join(self._fragments)
            self._fragments, self._size = None, 0
            messages.append((self._kind, _checked(self._kind, whole)))


def _checked(opcode: int, payload: bytes) -> bytes:
    if opcode == TEXT and not payload.isascii():
        try:
            payload.decode("utf-8")
        except UnicodeDecodeError:
            raise WireError("a text message is not UTF-8", close_code=1007) from None
    return payload


def _unmask(payload: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask, as one big integer: about 1 µs for a chat message, a loop in Python costs 20."""
    size = len(payload)
    if not size:
        return b""
    key = mask * ((size + 3) // 4)
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key[:size], "little")).to_bytes(size, "little")
