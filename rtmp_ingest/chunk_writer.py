"""The chunk stream, written: messages in, chunks out.

`encode_message` is what a server sends, one absolute header a message; `ChunkWriter` is what encoders send, with
headers relative to the message before. Source: RTMP 1.0 section 5.3.1. Not here: reading (`chunks`).
"""

from __future__ import annotations

from collections.abc import Iterator

from rtmp_ingest.chunks import DEFAULT_CHUNK_BYTES, EXTENDED
from rtmp_ingest.messages import Message

_U32 = 0xFFFF_FFFF


def encode_message(message: Message, *, csid: int, chunk_bytes: int) -> bytes:
    """A message as chunks behind one type 0 header with an absolute time: what any reader takes at any moment."""
    payload = message.payload
    header = _basic_header(0, csid) + _full_header(message)
    if len(payload) <= chunk_bytes and message.timestamp < EXTENDED:
        return header + payload
    return b"".join(_cut(payload, header, _basic_header(3, csid), message.timestamp, chunk_bytes, repeat=True))


def _basic_header(kind: int, csid: int) -> bytes:
    if csid < 64:
        return bytes([kind << 6 | csid])
    if csid < 320:
        return bytes([kind << 6, csid - 64])
    return bytes([kind << 6 | 1]) + (csid - 64).to_bytes(2, "little")


def _full_header(message: Message) -> bytes:
    time = message.timestamp if message.timestamp < EXTENDED else EXTENDED
    length_and_type = len(message.payload) << 8 | message.type_id
    return (time << 32 | length_and_type).to_bytes(7, "big") + message.stream_id.to_bytes(4, "little")


def _cut(
    payload: bytes, header: bytes, continuation: bytes, field: int, chunk_bytes: int, *, repeat: bool
) -> Iterator[bytes]:
    """The message's chunks. `repeat`: an extended time stands in every one of them."""
    extended = field.to_bytes(4, "big") if field >= EXTENDED else b""
    yield header + extended + payload[:chunk_bytes]
    if repeat:
        continuation += extended
    for position in range(chunk_bytes, len(payload), chunk_bytes):
        yield continuation + payload[position : position + chunk_bytes]


class ChunkWriter:
    """Writes messages the way encoders do: the shortest header that says it, deltas to the message before.

    `repeat_extended`: continuation chunks repeat an extended time, as the specification wants it (older librtmp does
    not).
    `negative_deltas`: time that goes back is a delta modulo 2**32, as OBS writes it, instead of a new absolute time.
    """

    def __init__(
        self, *, chunk_bytes: int = DEFAULT_CHUNK_BYTES, repeat_extended: bool = True, negative_deltas: bool = False
    ) -> None:
        self.chunk_bytes = chunk_bytes
        self._repeat_extended = repeat_extended
        self._negative_deltas = negative_deltas
        self._last: dict[int, tuple[Message, int | None]] = {}  # by chunk stream: message and the delta that led to it

    def write(self, message: Message, *, csid: int) -> bytes:
        """The message as one run of chunks."""
        return b"".join(self.chunks(message, csid=csid))

    def chunks(self, message: Message, *, csid: int) -> list[bytes]:
        """The message's chunks apart, for a caller that interleaves chunk streams."""
        kind, field = self._kind(message, csid)
        header = _basic_header(kind, csid)
        if kind == 0:
            header += _full_header(message)
        elif kind < 3:
            header += min(field, EXTENDED).to_bytes(3, "big")
            if kind == 1:
                header += (len(message.payload) << 8 | message.type_id).to_bytes(4, "big")
        return list(
            _cut(
                message.payload,
                header,
                _basic_header(3, csid),
                field,
                self.chunk_bytes,
                repeat=self._repeat_extended,
            )
        )

    def _kind(self, message: Message, csid: int) -> tuple[int, int]:
        """Header type, and what its time field says."""
        last, last_delta = self._last.get(csid, (None, None))
        delta = 0 if last is None else (message.timestamp - last.timestamp) & _U32
        is_back = delta >= 0x8000_0000 and not self._negative_deltas
        if last is None or last.stream_id != message.stream_id or is_back:
            self._last[csid] = (message, last_delta)
            return 0, message.timestamp
        self._last[csid] = (message, delta)
        if len(last.payload) != len(message.payload) or last.type_id != message.type_id:
            return 1, delta
        # A delta that was extended is said again in full: readers differ on what a bare type 3 header then means.
        return (3 if delta == last_delta and delta < EXTENDED else 2), delta
