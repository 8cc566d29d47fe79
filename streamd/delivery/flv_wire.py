"""FLV as it goes over HTTP and over WebSockets: the wire formats of `streamd.live.fanout`.

In: tracks and frames. Out: bytes that are ready for the socket, framing included, the same for every viewer. The FLV
bytes themselves are `streamd.media.flv`'s; here they are put in order and framed, in one copy.

Three framings:
- `http-flv`: HTTP/1.1 chunks, one a batch. Chunked and not delimited by the connection's end, because then a player, a
  cache or nginx can tell a programme that ended from a connection that broke. It costs seven bytes a batch.
- `http-flv-plain`: no framing, for HTTP/1.0 (nginx asks its origin in HTTP/1.0 unless told otherwise).
- `ws-flv`: one unmasked binary WebSocket message a batch (RFC 6455 5.2), not deflated: video does not shrink. Players
  join the messages; tags may span them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import pack

from streamd.media.flv import (
    SCRIPT_TAG,
    file_header,
    frame_tag,
    metadata_body,
    sequence_header_body,
    tag,
    tag_type,
)
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track


class FlvWire:
    """One framing. Implements `WireFormat`; has no state."""

    def __init__(self, name: str, framed: Callable[[list[bytes]], bytes]) -> None:
        self._name = name
        self._framed = framed

    @property
    def name(self) -> str:
        return self._name

    def start(self, tracks: Sequence[Track], *, origin_ms: int, at_ms: int) -> bytes:
        """Header, onMetaData and sequence headers, in one piece: mpegts.js needs 13 bytes at once to begin.

        onMetaData is at time 0 and not where the stream stands: FFmpeg takes a later one for a track of subtitles.
        """
        kinds = {track.is_video for track in tracks}
        time_ms = max(0, at_ms - origin_ms)
        return self._framed(
            [
                file_header(has_audio=False in kinds, has_video=True in kinds),
                tag(SCRIPT_TAG, 0, metadata_body(tracks)),
                *_sequence_headers(tracks, time_ms),
            ]
        )

    def tracks(self, tracks: Sequence[Track], *, origin_ms: int, at_ms: int) -> bytes:
        return self._framed(_sequence_headers(tracks, max(0, at_ms - origin_ms)))

    def frames(self, frames: Sequence[EncodedFrame], *, origin_ms: int) -> bytes:
        """Tags in order. A time before the origin is written as the origin: times of FLV are unsigned."""
        tags: list[bytes] = []
        for frame in frames:
            hz = frame.track.timescale_hz
            time_ms = (frame.dts * 2_000 + hz) // (2 * hz) - origin_ms
            tags.append(frame_tag(frame, time_ms if time_ms > 0 else 0))
        return self._framed(tags)

    def finish(self) -> bytes:
        """Nothing: FLV has no end of its own. The HTTP body and the WebSocket have theirs, with the connection."""
        return b""


def _sequence_headers(tracks: Sequence[Track], time_ms: int) -> list[bytes]:
    return [tag(tag_type(track), time_ms, sequence_header_body(track)) for track in tracks]


def _chunk(parts: list[bytes]) -> bytes:
    size = sum(map(len, parts))
    return b"".join((b"%x\r\n" % size, *parts, b"\r\n"))


def _message(parts: list[bytes]) -> bytes:
    size = sum(map(len, parts))
    if size < 126:
        header = pack(">BB", 0x82, size)
    elif size < 65_536:
        header = pack(">BBH", 0x82, 126, size)
    else:
        header = pack(">BBQ", 0x82, 127, size)
    return b"".join((header, *parts))


HTTP_FLV = FlvWire("http-flv", _chunk)
HTTP_FLV_PLAIN = FlvWire("http-flv-plain", b"".join)
WS_FLV = FlvWire("ws-flv", _message)
