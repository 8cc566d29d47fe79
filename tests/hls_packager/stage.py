"""A stage for the segmenter: frames in, segments and parts out, as a store would keep them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from hls_packager.model import (
    Cadence,
    Epoch,
    EpochDecided,
    Event,
    HlsSettings,
    HostWarning,
    PartClosed,
    SegmentClosed,
    SegmentOpened,
    Warned,
)
from hls_packager.segmenter import Segmenter
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track
from tests.support.hls_media import START_MS


@dataclass
class Cut:
    """One segment."""

    opened: SegmentOpened
    parts: list[PartClosed] = field(default_factory=list)
    closed: bool = False

    @property
    def ms(self) -> float:
        return sum(part.duration_us for part in self.parts) / 1_000

    @property
    def parts_ms(self) -> list[float]:
        return [part.duration_us / 1_000 for part in self.parts]


class Stage:
    """Checks with every event what holds for any stream, and keeps the outcome."""

    def __init__(self, *, memory: Cadence | None = None, **settings: int) -> None:
        self.segmenter = Segmenter(settings=HlsSettings(**settings), memory=memory)
        self.epoch: Epoch | None = None
        self.segments: list[Cut] = []
        self.warnings: list[HostWarning] = []
        self.frames_until_epoch = 0
        self._pushed = 0

    def announce(self, *tracks: Track) -> None:
        for track in tracks:
            self.segmenter.announce(track)

    def push(self, frames: Iterable[EncodedFrame]) -> Stage:
        for frame in frames:
            self._pushed += 1
            self._take(self.segmenter.push(frame))
        return self

    def pause(self) -> Stage:
        self._take(self.segmenter.pause())
        return self

    # --- what came out ---

    @property
    def parts(self) -> list[PartClosed]:
        return [part for segment in self.segments for part in segment.parts]

    @property
    def made(self) -> list[Cut]:
        """Segments that a viewer sees: an empty one is forgotten."""
        return [segment for segment in self.segments if segment.parts]

    @property
    def discontinuities(self) -> int:
        return sum(segment.opened.discontinuity for segment in self.made)

    def pictures(self) -> list[EncodedFrame]:
        return [frame for part in self.parts for frame in part.video]

    def sounds(self) -> list[EncodedFrame]:
        return [frame for part in self.parts for frame in part.audio]

    def seconds(self) -> list[float]:
        """Lengths of the segments."""
        return [segment.ms / 1_000 for segment in self.made]

    # --- inside ---

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case EpochDecided():
                    assert self.epoch is None, "an epoch is decided once"
                    self.epoch = event.epoch
                    self.frames_until_epoch = self._pushed
                case SegmentOpened():
                    assert self.epoch is not None
                    assert not self.segments or self.segments[-1].closed
                    self.segments.append(Cut(event))
                case PartClosed():
                    self._part(event)
                case SegmentClosed():
                    self.segments[-1].closed = True
                    assert self.epoch is not None
                    assert self.segments[-1].ms * 1_000 <= self.epoch.segment_limit_us
                case Warned():
                    self.warnings.append(event.warning)

    def _part(self, part: PartClosed) -> None:
        segment, epoch = self.segments[-1], self.epoch
        assert epoch is not None
        assert not segment.closed
        assert part.video or part.audio
        assert 0 < part.duration_us <= epoch.part_target_ms * 1_000
        if part.video and part.independent:
            assert part.video[0].is_sync, "INDEPENDENT means: begins with a key frame"
        if not segment.parts and segment.opened.independent and part.video:
            assert part.independent
        assert part.inner_keys >= any(picture.is_sync for picture in part.video[1:])
        tracks = segment.opened.tracks
        assert all(picture.track == tracks.video for picture in part.video)
        if part.video:
            assert part.video_end > part.video[-1].dts
        if segment.parts:
            assert part.start_us == segment.parts[-1].start_us + segment.parts[-1].duration_us
        segment.parts.append(part)


def short_parts(stage: Stage) -> list[tuple[int, int]]:
    """Segment and part indexes of parts below 85 % of the target that no rule excuses."""
    assert stage.epoch is not None
    floor_us = stage.epoch.part_target_ms * 850
    return [
        (s, p)
        for s, segment in enumerate(stage.made)
        for p, part in enumerate(segment.parts[:-1])
        if part.duration_us < floor_us and not part.independent
    ]


def is_contiguous(frames: Sequence[EncodedFrame], *, step: int = 1_024, tolerance: int = 0) -> bool:
    return all(abs(b.dts - a.dts - step) <= tolerance for a, b in pairwise(frames))


def since_start_ms(us: int) -> float:
    return float(Fraction(us, 1_000) - START_MS)
