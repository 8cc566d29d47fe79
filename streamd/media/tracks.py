"""A track: everything a decoder must know before the first frame.

A track is a value. Parameter sets and codec configuration live here and never inside frames; a changed set is a new
track object ("revision"), and only an unequal revision makes a new init segment. Frames point at the revision they
belong to, so nobody downstream needs a separate "configuration changed" event to stay correct.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

VIDEO_TIMESCALE_HZ = 90_000


class Codec(StrEnum):
    """The codecs that go on air."""

    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"
    AAC = "aac"
    OPUS = "opus"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    """One revision of a video track.

    `config` is the body of the MP4 configuration box: avcC (ISO 14496-15 5.3.3), hvcC (8.3.3) or av1C (AV1-ISOBMFF
    2.3), in the canonical form that the codec module builds, so equal parameter sets give equal bytes.
    """

    is_video: ClassVar[bool] = True
    timescale_hz: ClassVar[int] = VIDEO_TIMESCALE_HZ

    codec: Codec
    config: bytes
    codec_string: str  # RFC 6381, from the bitstream: "avc1.640028"
    width: int  # luma samples after cropping
    height: int
    track_id: int = 0  # Enhanced RTMP multitrack id; 0 is the one on air
    pixel_aspect: tuple[int, int] = (1, 1)
    video_range: str = "SDR"  # SDR | PQ | HLG, from the transfer characteristics
    nominal_fps: float | None = None  # what the bitstream's timing information claims; a hint


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """One revision of an audio track.

    `config` is the AudioSpecificConfig (ISO 14496-3 1.6.2.1) for AAC, the body of `dOps` (Opus-in-ISOBMFF 4.3.2) for
    Opus. `timescale_hz` is the rate that `EncodedFrame.dts` counts in: the output sample rate.
    """

    is_video: ClassVar[bool] = False

    codec: Codec
    config: bytes
    codec_string: str  # "mp4a.40.2", "opus"
    sample_rate_hz: int
    channel_count: int
    samples_per_frame: int  # at sample_rate_hz: 1024 AAC-LC, 2048 HE-AAC at output rate, 960 Opus at 20 ms
    track_id: int = 0

    @property
    def timescale_hz(self) -> int:
        """Ticks per second of this track's frames."""
        return self.sample_rate_hz


Track: TypeAlias = VideoTrack | AudioTrack
