"""Length-prefixed records on a byte stream, and tracks as JSON: what workers tell each other about media.

A record is four bytes of length, one byte of kind, and a body; kinds belong to whoever uses them. Any slicing of the
stream gives the same records. Not here: what the kinds mean (`hls_packager.mirror`, `streamd.live.frame_records`).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from struct import Struct
from typing import Any

from streamd.media.tracks import AudioTrack, Codec, Track, VideoTrack

MAX_RECORD_BYTES = 64 * 1024 * 1024
_HEAD = Struct(">IB")


class RecordError(ValueError):
    """What came is not what a worker sends."""


def record(kind: int, *pieces: bytes) -> tuple[bytes, ...]:
    """One record as pieces to write in a row; the body is never copied."""
    return (_HEAD.pack(sum(map(len, pieces)), kind), *pieces)


class RecordReader:
    """Bytes in, whole records out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(kind, body) of every record that is complete now. Raises RecordError for one that is too long."""
        buffer = self._buffer
        buffer += data
        found: list[tuple[int, bytes]] = []
        at = 0
        while len(buffer) - at >= _HEAD.size:
            size_bytes, kind = _HEAD.unpack_from(buffer, at)
            if size_bytes > MAX_RECORD_BYTES:
                raise RecordError(f"a record of {size_bytes} bytes; {MAX_RECORD_BYTES} is the limit")
            end = at + _HEAD.size + size_bytes
            if len(buffer) < end:
                break
            found.append((kind, bytes(buffer[at + _HEAD.size : end])))
            at = end
        del buffer[:at]
        return found


def pack_json(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def track_to_json(track: Track) -> dict[str, Any]:
    """A track as plain values; `track_from_json` gives an equal one back."""
    shared = {
        "codec": track.codec.value,
        "config": b64encode(track.config).decode("ascii"),
        "codec_string": track.codec_string,
        "track_id": track.track_id,
    }
    if isinstance(track, VideoTrack):
        return shared | {
            "width": track.width,
            "height": track.height,
            "pixel_aspect": list(track.pixel_aspect),
            "video_range": track.video_range,
            "nominal_fps": track.nominal_fps,
        }
    return shared | {
        "sample_rate_hz": track.sample_rate_hz,
        "channel_count": track.channel_count,
        "samples_per_frame": track.samples_per_frame,
    }


def track_from_json(value: dict[str, Any]) -> Track:
    """See `track_to_json`. Raises RecordError for what is none."""
    try:
        fields = dict(value)
        fields["codec"] = Codec(fields["codec"])
        fields["config"] = b64decode(fields["config"])
        if "width" not in fields:
            return AudioTrack(**fields)
        across, down = fields["pixel_aspect"]
        fields["pixel_aspect"] = (across, down)
        return VideoTrack(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"not a track: {error}") from error
