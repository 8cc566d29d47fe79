"""The vocabulary of the packager: settings, what a playlist promises for an epoch, and what the segmenter reports.

All values, no behaviour beyond arithmetic on themselves. Ticks are those of the track they belong to; `_us` are
microseconds on the stream's timeline (zero is the Unix epoch), so sums of rounded durations telescope exactly.
Source: RFC 8216bis (draft-pantos-hls-rfc8216bis-22) for every name of HLS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TypeAlias

from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, Track, VideoTrack

# Bounded: what another process says is no reason to count for long.
_CADENCE = re.compile(r"([1-9]\d{0,8})(?:/([1-9]\d{0,8}))?,(constant|varying),(\d{1,8}),(v?a?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class HlsSettings:
    """How live playlists are cut and kept."""

    segment_ms: int = 2_000  # wished for; a segment still begins at a key frame
    part_ms: int = 500  # rounded up to a whole number of frames
    window_segments: int = 10  # listed at least; more where six target durations and three segments need it
    probe_ms: int = 2_500  # of media, at most, before an epoch's promises are made
    long_gop_target_s: int = 10  # promised when no second key frame came in that time: holds 250 frames at 25 to 60/s
    pictures_away_ms: int = 30_000  # pictures that cease for so long leave the programme until they return


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSet:
    """What is muxed: one revision of each track on air."""

    video: VideoTrack | None = None
    audio: AudioTrack | None = None

    @property
    def lead(self) -> Track:
        """The track on whose timeline cuts are made: video where there is any."""
        lead = self.video or self.audio
        assert lead is not None, "a track set has at least one track"
        return lead

    def having(self, track: Track) -> TrackSet:
        """This set with `track` in place of the one of its kind."""
        if isinstance(track, VideoTrack):
            return TrackSet(video=track, audio=self.audio)
        return TrackSet(video=self.video, audio=track)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How regularly a stream's frames and key frames come: what a room's next publication may count on."""

    frame: Fraction  # seconds; the mean where frames come irregularly
    constant: bool
    gop_ms: int | None  # longest distance of key frames seen; None if there never was a second one
    has_video: bool
    has_audio: bool

    def text(self) -> str:
        """For another process, without a space: `1/30,constant,2000,va`."""
        kinds = "v" * self.has_video + "a" * self.has_audio
        return f"{self.frame},{'constant' if self.constant else 'varying'},{self.gop_ms or 0},{kinds}"

    @classmethod
    def from_text(cls, text: str) -> Cadence | None:
        """What `text` gave; None for anything else, which may come from another version."""
        found = _CADENCE.fullmatch(text)
        if found is None or not found[5]:
            return None
        return cls(
            frame=Fraction(int(found[1]), int(found[2] or 1)),
            constant=found[3] == "constant",
            gop_ms=int(found[4]) or None,
            has_video="v" in found[5],
            has_audio="a" in found[5],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What a media playlist promises and never changes: tag values in the units of their tags, and the part plan."""

    target_duration_s: int
    part_target_ms: int
    part_us: int  # the length parts are cut to when frames come regularly: a whole number of them

    @property
    def part_hold_back_ms(self) -> int:
        """Three part targets (Apple's authoring rules, 14.3)."""
        return 3 * self.part_target_ms

    @property
    def hold_back_ms(self) -> int:
        return 3_000 * self.target_duration_s

    @property
    def can_skip_until_ms(self) -> int:
        """The skip boundary: six target durations, the least that RFC 8216bis 4.4.3.8 allows."""
        return 6_000 * self.target_duration_s

    @property
    def cached_s(self) -> int:
        """How long a cache in front of us may go on handing out the answer to a blocking request (RFC 8216bis B.1)."""
        return 6 * self.target_duration_s

    @property
    def segment_limit_us(self) -> int:
        """The longest segment that still rounds to the target duration."""
        return 1_000_000 * self.target_duration_s + 490_000


class HostWarning(StrEnum):
    """What a host should know about the encoder."""

    GOP_TOO_LONG = "gop_too_long"  # a segment had to begin without a key frame


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDecided:
    """The first event of a programme: playlists may be served as soon as a part follows."""

    epoch: Epoch
    cadence: Cadence


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOpened:
    """Parts that follow belong to a new segment."""

    tracks: TrackSet
    start_us: int  # presentation time of its first frame
    independent: bool  # begins with a key frame, or is audio only
    discontinuity: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PartClosed:
    """A part is complete. The frame lists are the receiver's to keep."""

    video: Sequence[EncodedFrame]
    audio: Sequence[EncodedFrame]
    video_end: int  # dts of the video frame that follows, measured or expected: where the last sample ends
    start_us: int
    duration_us: int
    independent: bool
    inner_keys: bool  # a key frame other than the first frame is in it


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentClosed:
    """The open segment is complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something the host can mend at the encoder."""

    warning: HostWarning
    at_us: int


Event: TypeAlias = EpochDecided | SegmentOpened | PartClosed | SegmentClosed | Warned
