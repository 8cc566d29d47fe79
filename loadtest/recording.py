"""An FLV file as a loop of ready-made RTMP bytes.

Every media message has a type 1 header (a time delta), audio and video each on a chunk stream of their own as FFmpeg
writes them, so one loop of bytes can be sent again and again, by any number of publishers, and time goes on.
Pure: bytes in, messages out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from loadtest import rtmp_wire

_CSID = {rtmp_wire.AUDIO: 4, rtmp_wire.VIDEO: 6}
_FLV_HEADER_BYTES, _TAG_HEADER_BYTES, _BACK_POINTER_BYTES = 9, 11, 4


class Message(NamedTuple):
    """One media message of the loop: when FFmpeg would send it after the loop's start, and its bytes."""

    due_ms: int
    header: bytes
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a publisher sends: `opening` once, then `messages` every `loop_ms`, for ever."""

    opening: bytes
    messages: tuple[Message, ...]
    loop_ms: int

    @property
    def body_bytes(self) -> int:
        """Size of one loop on the wire."""
        return sum(len(message.header) + len(message.body) for message in self.messages)


def from_flv(data: bytes, *, loop_ms: int) -> Recording:
    """Take the first `loop_ms` of a file. Frames are evenly spaced within the loop, so that its end meets its start."""
    metadata = b""
    configuration: dict[int, bytes] = {}
    frames: dict[int, list[tuple[int, bytes]]] = {rtmp_wire.AUDIO: [], rtmp_wire.VIDEO: []}
    for kind, ts_ms, body in _tags(data):
        if kind == rtmp_wire.AMF0_DATA:
            metadata = metadata or body
        elif body[1] == 0:  # AVC or AAC sequence header
            configuration.setdefault(kind, body)
        elif len(body) > 5:  # not the end of sequence
            frames[kind].append((ts_ms, body))
    opening = rtmp_wire.set_chunk_size() + _full(rtmp_wire.AMF0_DATA, rtmp_wire.amf0("@setDataFrame") + metadata, 4)
    messages: list[Message] = []
    for kind, track in frames.items():
        opening += _full(kind, configuration[kind], _CSID[kind])
        messages.extend(_even(kind, track, loop_ms))
    messages.sort(key=lambda message: message.due_ms)
    return Recording(opening=opening, messages=tuple(_in_ffmpegs_time(messages, loop_ms)), loop_ms=loop_ms)


def _in_ffmpegs_time(messages: list[Message], loop_ms: int) -> Iterator[Message]:
    """`ffmpeg -re` reads on only once the clock has passed the next time of *every* track in the file.

    So pictures and sound come in pairs, some 30 times a second, and not one by one: fewer, larger reads for a server.
    """
    next_due_ms = dict.fromkeys(_CSID, loop_ms)  # both tracks start the next loop at zero
    late: list[Message] = []
    for message in reversed(messages):
        next_due_ms[message.header[-1]] = message.due_ms
        late.append(message._replace(due_ms=max(next_due_ms.values())))
    yield from reversed(late)


def _even(kind: int, track: list[tuple[int, bytes]], loop_ms: int) -> Iterator[Message]:
    """The frames of one track, spread over the loop in whole milliseconds that add up to it exactly."""
    start = track[0][0]
    kept = [body for ts_ms, body in track if ts_ms - start < loop_ms - 5]
    dues = [index * loop_ms // len(kept) for index in range(len(kept))]
    for index, (due_ms, body) in enumerate(zip(dues, kept, strict=True)):
        # The first message's delta comes after the last one's of the loop before. At the very start it follows the
        # sequence header at zero: the whole programme begins one frame late, in both tracks.
        delta_ms = due_ms - dues[index - 1] if index else loop_ms - dues[-1]
        header = rtmp_wire.next_header(kind, len(body), csid=_CSID[kind], delta_ms=delta_ms)
        yield Message(due_ms, header, rtmp_wire.chunked(body, csid=_CSID[kind], chunk_bytes=rtmp_wire.CHUNK_BYTES))


def _full(kind: int, body: bytes, csid: int) -> bytes:
    return rtmp_wire.message(kind, body, csid=csid, stream_id=rtmp_wire.STREAM_ID, chunk_bytes=rtmp_wire.CHUNK_BYTES)


def _tags(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = _FLV_HEADER_BYTES + _BACK_POINTER_BYTES
    while at + _TAG_HEADER_BYTES <= len(data):
        length = int.from_bytes(data[at + 1 : at + 4], "big")
        ts_ms = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        body = data[at + _TAG_HEADER_BYTES : at + _TAG_HEADER_BYTES + length]
        if len(body) > 1:
            yield data[at] & 0x1F, ts_ms, body
        at += _TAG_HEADER_BYTES + length + _BACK_POINTER_BYTES
