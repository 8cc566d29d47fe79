"""One key frame as an elementary stream: what a decoder outside needs to show a single picture.

In: a video frame that a decoder may start at. Out: the name that FFmpeg gives the form, and the bytes: H.264 and HEVC
with start codes and the parameter sets in front (Annex B), AV1 as low-overhead OBUs behind a temporal delimiter.
"""

from __future__ import annotations

from typing import Final

from streamd.media import av1, h264, hevc
from streamd.media.access_unit import length_prefixed
from streamd.media.bits import BitstreamError
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Codec, VideoTrack

_START: Final = b"\x00\x00\x00\x01"
# AV1 5.6: OBU_TEMPORAL_DELIMITER, with its size: nothing.
_TEMPORAL_DELIMITER: Final = b"\x12\x00"


def elementary_stream(frame: EncodedFrame) -> tuple[str, bytes]:
    """The form ("h264", "hevc", "obu") and the bytes. Raises BitstreamError for what is no key frame of pictures."""
    track = frame.track
    if not isinstance(track, VideoTrack) or not frame.is_sync:
        raise BitstreamError("a still is made of a key frame")
    if track.codec is Codec.AV1:
        return "obu", _TEMPORAL_DELIMITER + av1.sequence_header(track) + frame.payload
    form, codec = ("h264", h264) if track.codec is Codec.H264 else ("hevc", hevc)
    sets = [nal for kind in codec.parameter_sets(track) for nal in kind]
    return form, b"".join(_START + nal for nal in (*sets, *length_prefixed(frame.payload, 0, 4)))
