"""Enhanced RTMP v2: the headers of its audio and video messages.

In: the payload of a message whose first byte says that it is enhanced. Out: packets, one for each track in the
message, pointing into the payload. ModEx is taken off (its nanosecond offset is kept), multitrack is taken apart.
Nothing is said here about what a codec's data mean (`frames`). Source: Veovera "Enhanced RTMP (v2)", 2026-01-31,
Enhanced Video and Enhanced Audio.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rtmp_ingest.buffer import Cursor
from streamd.errors import ProtocolError

# Packet types
SEQUENCE_START: Final = 0
CODED_FRAMES: Final = 1
SEQUENCE_END: Final = 2
CODED_FRAMES_X: Final = 3  # video: as CODED_FRAMES with a composition offset of 0
METADATA: Final = 4  # video; for audio the layout of its channels
_VIDEO_MULTITRACK: Final = 6
_AUDIO_MULTITRACK: Final = 5
_MOD_EX: Final = 7

_COMMAND_FRAME = 5  # frame type of a seek marker: no picture
_ONE_TRACK, _MANY_TRACKS, _MANY_CODECS = 0, 1, 2
_NANO_OFFSET = 0
# More than anybody sends; a message of eight megabytes must not buy a second of our time.
_EXTENSIONS_PER_MESSAGE = 16
_TRACKS_PER_MESSAGE = 256


class Packet(NamedTuple):
    """One track's part of a message: `data` from `start` on. `nanos` are to be added to the presentation time."""

    kind: int
    fourcc: bytes
    track_id: int
    data: bytes
    start: int
    nanos: int


def video_packets(payload: bytes) -> list[Packet]:
    """The packets of an enhanced video message; none for a command frame. Raises ProtocolError when it is cut short."""
    is_command = payload[0] >> 4 & 7 == _COMMAND_FRAME
    return _packets(payload, _VIDEO_MULTITRACK, is_command=is_command)


def audio_packets(payload: bytes) -> list[Packet]:
    """The packets of an enhanced audio message. Raises ProtocolError when it is cut short."""
    return _packets(payload, _AUDIO_MULTITRACK, is_command=False)


def _packets(payload: bytes, multitrack: int, *, is_command: bool) -> list[Packet]:
    cursor = Cursor(payload, 1)
    kind = payload[0] & 15
    nanos = 0
    for _ in range(_EXTENSIONS_PER_MESSAGE):
        if kind != _MOD_EX:
            break
        kind, offset = _mod_ex(cursor)
        nanos += offset
    else:
        raise ProtocolError("Too many extensions in front of a packet", code="mod_ex")
    if is_command and kind != METADATA:
        return []
    if kind == multitrack:
        return _tracks(cursor, multitrack, nanos)
    return [Packet(kind, cursor.take(4), 0, payload, cursor.position, nanos)]


def _mod_ex(cursor: Cursor) -> tuple[int, int]:
    """One extension in front of the packet: the packet type behind it, and nanoseconds if it says that."""
    size = cursor.u8() + 1
    if size == 256:
        size = cursor.u16() + 1
    extension = cursor.take(size)
    kinds = cursor.u8()
    is_offset = kinds >> 4 == _NANO_OFFSET and size >= 3
    return kinds & 15, int.from_bytes(extension[:3], "big") if is_offset else 0


def _tracks(cursor: Cursor, multitrack: int, nanos: int) -> list[Packet]:
    kinds = cursor.u8()
    mode, kind = kinds >> 4, kinds & 15
    if mode > _MANY_CODECS or kind in (multitrack, _MOD_EX):
        raise ProtocolError("A multitrack message of no known form", code="multitrack")
    fourcc = cursor.take(4) if mode != _MANY_CODECS else b""
    if mode == _ONE_TRACK:
        track_id = cursor.u8()
        return [Packet(kind, fourcc, track_id, cursor.data, cursor.position, nanos)]
    packets: list[Packet] = []
    while cursor.remaining:
        if len(packets) == _TRACKS_PER_MESSAGE:
            raise ProtocolError("Too many tracks in one message", code="multitrack")
        if mode == _MANY_CODECS:
            fourcc = cursor.take(4)
        track_id = cursor.u8()
        size = cursor.u24()
        packets.append(Packet(kind, fourcc, track_id, cursor.take(size), 0, nanos))
    return packets
