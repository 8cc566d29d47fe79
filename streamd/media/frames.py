"""The one unit of media: an encoded frame.

Video: one access unit. H.264 and HEVC as NAL units, each behind a 4-byte big-endian length, without parameter sets and
access unit delimiters; AV1 as a temporal unit in low-overhead form, every OBU with its size, without temporal
delimiters. Audio: one raw AAC access unit (no ADTS) or one Opus packet.

A frame is stored once: HLS parts, FLV tags, RTMP messages and WebSocket frames are all built from the same `payload`.
"""

from __future__ import annotations

from typing import NamedTuple

from streamd.media.tracks import Track


class EncodedFrame(NamedTuple):
    """One frame on a timeline.

    A NamedTuple and not a frozen dataclass: made about 80 times a second for each stream, 0.35 µs against 1.4 µs.

    `dts` and `cts` are in ticks of `track.timescale_hz`; `cts` is presentation minus decode time and may be negative.
    From ingest to hub, `dts` is on the *source's* timeline (unwrapped, unrepaired); from the hub on it is on the
    *stream's* timeline, whose zero is the Unix epoch: strictly increasing for each track, gaps allowed.
    """

    track: Track
    dts: int
    cts: int
    is_sync: bool  # a decoder may start here; always true for audio
    payload: bytes
