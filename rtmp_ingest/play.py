"""A live stream as RTMP messages, ready for the wire and the same for every player.

In: tracks and frames on the stream's timeline. Out: chunks of 60 000 bytes (announced at connect) behind type 0 headers
with absolute times, so that any viewer can be given any run of them at any moment. A body is what HTTP-FLV puts into
its tags (`streamd.media.flv`): legacy form for H.264 and AAC, Enhanced RTMP for the rest. `RtmpViewer` puts a player's
connection behind the protocol that the fan-out writes to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Protocol

from rtmp_ingest import errors, messages
from rtmp_ingest.chunk_writer import encode_message
from rtmp_ingest.chunks import EXTENDED
from rtmp_ingest.messages import DATA_AMF0, Message, UserEvent
from rtmp_ingest.session import CHUNK_BYTES
from streamd.media import flv
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track

_MEDIA_CSID = 6
_DATA_CSID = 5
_CONTROL_CSID = 2
_U32 = 0xFFFF_FFFF

_pack_header = Struct(">II4s").pack


class RtmpWire:
    """Implements `WireFormat`. Players use message stream 1; one that asked on another has bytes of its own."""

    def __init__(self, *, stream_id: int = 1) -> None:
        self._stream_id = stream_id
        self._stream_id_bytes = stream_id.to_bytes(4, "little")
        self.name = "rtmp" if stream_id == 1 else f"rtmp-{stream_id}"

    def start(self, tracks: Sequence[Track], *, origin_ms: int, at_ms: int) -> bytes:
        """onMetaData and the sequence headers."""
        # At zero: ffmpeg takes onMetaData at any other time for a subtitle.
        metadata = Message(DATA_AMF0, self._stream_id, 0, flv.metadata_body(tracks))
        return encode_message(metadata, csid=_DATA_CSID, chunk_bytes=CHUNK_BYTES) + self.tracks(
            tracks, origin_ms=origin_ms, at_ms=at_ms
        )

    def tracks(self, tracks: Sequence[Track], *, origin_ms: int, at_ms: int) -> bytes:
        """The sequence headers."""
        timestamp = (at_ms - origin_ms) & _U32
        return b"".join(
            self._message(flv.tag_type(track), timestamp, flv.sequence_header_body(track)) for track in tracks
        )

    def frames(self, frames: Sequence[EncodedFrame], *, origin_ms: int) -> bytes:
        """One message a frame."""
        pieces: list[bytes] = []
        for frame in frames:
            timestamp = (flv.dts_ms(frame) - origin_ms) & _U32
            kind = flv.tag_type(frame.track)
            prefix = flv.frame_prefix(frame)
            size = len(prefix) + len(frame.payload)
            if size <= CHUNK_BYTES and timestamp < EXTENDED:
                header = _pack_header(_MEDIA_CSID << 24 | timestamp, size << 8 | kind, self._stream_id_bytes)
                pieces += (header, prefix, frame.payload)
            else:
                pieces.append(self._message(kind, timestamp, prefix + frame.payload))
        return b"".join(pieces)

    def finish(self) -> bytes:
        """The publisher is gone for good: players stop instead of waiting."""
        notify = messages.status(self._stream_id, "status", errors.PLAY_UNPUBLISH_NOTIFY, "The stream has ended")
        end = messages.user_control(UserEvent.STREAM_EOF, self._stream_id)
        return encode_message(notify, csid=_DATA_CSID, chunk_bytes=CHUNK_BYTES) + encode_message(
            end, csid=_CONTROL_CSID, chunk_bytes=CHUNK_BYTES
        )

    def _message(self, kind: int, timestamp: int, body: bytes) -> bytes:
        message = Message(kind, self._stream_id, timestamp, body)
        return encode_message(message, csid=_MEDIA_CSID, chunk_bytes=CHUNK_BYTES)


class ByteSink(Protocol):
    """What a viewer needs of a transport."""

    def write(self, data: bytes) -> None: ...
    def get_write_buffer_size(self) -> int: ...


class RtmpViewer:
    """A player's connection as the fan-out sees it. Implements `Viewer`.

    `begin` tells the player that it may watch: called once, before the first byte of media. `end` is told why no more
    bytes will come.
    """

    def __init__(self, *, sink: ByteSink, begin: Callable[[], None], end: Callable[[str], None]) -> None:
        self._sink = sink
        self._begin = begin
        self._end = end
        self._begun = False
        self._closed = False

    def begin(self) -> None:
        """The player was admitted; there may be no media for it yet."""
        if not self._begun and not self._closed:
            self._begun = True
            self._begin()

    def write(self, data: bytes) -> None:
        """See `Viewer.write`."""
        if self._closed:
            return
        if not self._begun:
            self.begin()
        self._sink.write(data)

    def backlog_bytes(self) -> int:
        """See `Viewer.backlog_bytes`."""
        return 0 if self._closed else self._sink.get_write_buffer_size()

    def close(self, reason: str) -> None:
        """See `Viewer.close`."""
        if not self._closed:
            self._closed = True
            self._end(reason)
