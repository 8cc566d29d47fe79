"""Playlists as text: the media playlist that keeps its promises, and the multivariant playlist above it.

In: segments and parts as they are opened, added and closed. Out: text, full or as a delta update. Rendering is
incremental: a closed segment's lines are made once, so a reload costs a join. URIs end in a mark that is replaced by
the viewer's own query (a token), which keeps the cached lines the same for everybody.

Invariants
- The head (version, target duration, server control, part target) is one string from the epoch's first playlist on.
- Segments leave at the front only; media and discontinuity sequence numbers never go back.
- Part tags are kept for whole segments: players number a segment's parts by counting its tags (hls.js m3u8-parser).

Source: RFC 8216bis 4.4 and 6.2.5 (delta updates). Not here: bytes of segments, who waits (store), HTTP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Self

from hls_packager.model import Epoch

# Stands in cached lines for the query that every child URI gets; cannot occur in a line otherwise.
_QUERY = "\x00"


def seconds(us: int) -> str:
    """Microseconds as decimal seconds; all digits, so that the parts of a segment sum to it exactly."""
    return f"{us // 1_000_000}.{us % 1_000_000:06d}"


def _decimal(ms: int) -> str:
    return f"{ms // 1_000}.{ms % 1_000:03d}"


def date_time(utc_ms: int) -> str:
    """ISO 8601 with milliseconds, as EXT-X-PROGRAM-DATE-TIME wants it."""
    moment = datetime.fromtimestamp(utc_ms // 1_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{utc_ms % 1_000:03d}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Where another rendition of the same programme stands (EXT-X-RENDITION-REPORT)."""

    uri: str  # relative to the playlist that carries the report
    last_msn: int
    last_part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One line pair of the multivariant playlist."""

    uri: str
    bandwidth_bps: int
    average_bandwidth_bps: int
    codecs: str
    width: int = 0  # 0: no pictures
    height: int = 0
    frame_rate: float = 0.0
    video_range: str = "SDR"


class SegmentState(NamedTuple):
    """A segment's lines and what they are made of."""

    msn: int
    init_uri: str
    new_map: bool
    discontinuity: bool
    utc_ms: int
    independent: bool
    duration_us: int
    complete: bool
    gap: bool
    parts: tuple[str, ...]


class PlaylistState(NamedTuple):
    """A media playlist without its promises: from here on another one can be written the same way."""

    discontinuity_sequence: int
    next_msn: int
    ended: bool
    listed_us: int
    segments: tuple[SegmentState, ...]
    opening: SegmentState | None


class Segment:
    """One media segment as the playlist sees it."""

    __slots__ = (
        "_head",
        "_new_map",
        "_texts",
        "complete",
        "discontinuity",
        "duration_us",
        "gap",
        "independent",
        "init_uri",
        "msn",
        "parts",
        "utc_ms",
    )

    def __init__(
        self, *, msn: int, init_uri: str, new_map: bool, discontinuity: bool, utc_ms: int, independent: bool
    ) -> None:
        self.msn = msn
        self.init_uri = init_uri
        self.utc_ms = utc_ms
        self.gap = False  # stands for media that does not exist
        self.discontinuity = discontinuity
        self.independent = independent
        self.duration_us = 0
        self.complete = False
        self.parts: list[str] = []  # the line of each
        # DISCONTINUITY, MAP and PDT precede the first part of the segment they apply to. The map is the middle one.
        self._head = (
            "#EXT-X-DISCONTINUITY\n" if discontinuity else "",
            f'#EXT-X-MAP:URI="{init_uri}{_QUERY}"\n',
            f"#EXT-X-PROGRAM-DATE-TIME:{date_time(utc_ms)}\n",
        )
        self._new_map = new_map
        self._texts: dict[tuple[bool, bool], str] = {}

    @property
    def state(self) -> SegmentState:
        """What `restored` makes an equal one of."""
        return SegmentState(
            self.msn,
            self.init_uri,
            self._new_map,
            self.discontinuity,
            self.utc_ms,
            self.independent,
            self.duration_us,
            self.complete,
            self.gap,
            tuple(self.parts),
        )

    @classmethod
    def restored(cls, state: SegmentState) -> Self:
        """See `state`."""
        segment = cls(
            msn=state.msn,
            init_uri=state.init_uri,
            new_map=state.new_map,
            discontinuity=state.discontinuity,
            utc_ms=state.utc_ms,
            independent=state.independent,
        )
        segment.duration_us, segment.complete, segment.gap = state.duration_us, state.complete, state.gap
        segment.parts = list(state.parts)
        return segment

    def text(self, *, first: bool, with_parts: bool) -> str:
        """The segment's lines. `first`: none is listed before it, so that the map must be said in any case."""
        if not self.complete:
            return self._head_text(first) + "".join(self.parts)
        key = (first, with_parts)
        text = self._texts.get(key)
        if text is None:
            parts = "".join(self.parts) if with_parts else ""
            gap = "#EXT-X-GAP\n" if self.gap else ""
            extinf = f"{gap}#EXTINF:{seconds(self.duration_us)},\nseg-{self.msn}.m4s{_QUERY}\n"
            text = self._texts[key] = self._head_text(first) + parts + extinf
        return text

    def _head_text(self, first: bool) -> str:
        discontinuity, map_line, date_time_line = self._head
        return discontinuity + (map_line if first or self._new_map else "") + date_time_line


class MediaPlaylist:
    """See the module's promise. `segments` are the listed ones, oldest first: each has a part, the last may be open."""

    def __init__(self, *, epoch: Epoch, first_msn: int, discontinuity_sequence: int, window_segments: int) -> None:
        self.epoch = epoch
        self.segments: deque[Segment] = deque()
        self.next_msn = first_msn
        self.ended = False
        self.discontinuity_sequence = discontinuity_sequence
        self._opening: Segment | None = None
        self._window_segments = window_segments
        # Long enough for delta updates to have something to skip.
        self._window_us = 9_000_000 * epoch.target_duration_s
        self._listed_us = 0
        self._promises = (
            "#EXTM3U\n#EXT-X-VERSION:9\n"
            f"#EXT-X-TARGETDURATION:{epoch.target_duration_s}\n"
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={_decimal(epoch.part_hold_back_ms)},"
            f"CAN-SKIP-UNTIL={_decimal(epoch.can_skip_until_ms)},HOLD-BACK={_decimal(epoch.hold_back_ms)}\n"
            f"#EXT-X-PART-INF:PART-TARGET={_decimal(epoch.part_target_ms)}\n"
        )

    @property
    def state(self) -> PlaylistState:
        """What `restore` takes."""
        return PlaylistState(
            self.discontinuity_sequence,
            self.next_msn,
            self.ended,
            self._listed_us,
            tuple(segment.state for segment in self.segments),
            self._opening.state if self._opening is not None else None,
        )

    def restore(self, state: PlaylistState) -> None:
        """Stand where another playlist of the same promises stood."""
        self.discontinuity_sequence, self.next_msn, self.ended, self._listed_us, segments, opening = state
        self.segments = deque(map(Segment.restored, segments))
        self._opening = Segment.restored(opening) if opening is not None else None

    # --- where it stands ---

    @property
    def last_msn(self) -> int:
        """The newest segment with a listed part; one before the first where there is none yet."""
        return self.next_msn - 1

    @property
    def last_part(self) -> int:
        """The index of the newest part in `last_msn`; -1 where there is none yet."""
        return len(self.segments[-1].parts) - 1 if self.segments else -1

    @property
    def newest_complete(self) -> int:
        """The newest segment that is whole."""
        return self.next_msn - 1 if not self.segments or self.segments[-1].complete else self.next_msn - 2

    @property
    def hint(self) -> tuple[int, int]:
        """Segment and index of the part that comes next."""
        if self.segments and not self.segments[-1].complete:
            return self.next_msn - 1, len(self.segments[-1].parts)
        return self.next_msn, 0

    @property
    def duration_us(self) -> int:
        """Of everything listed."""
        return self._listed_us

    def holds(self, msn: int, part: int | None) -> bool:
        """Whether a viewer who asked for `msn` (whole), or for a part of it, can be answered.

        A part beyond the last one of a complete segment means the first part of the next (RFC 8216bis 6.2.5.2).
        """
        if part is None:
            return msn <= self.newest_complete
        last = self.next_msn - 1
        return msn < last or (msn == last and part <= self.last_part)

    # --- what happens to it ---

    def open_segment(self, *, init_uri: str, discontinuity: bool, utc_ms: int, independent: bool) -> int:
        """Parts that follow belong to a new segment; it is listed with its first part. Returns its number."""
        if self._opening is not None:
            discontinuity = discontinuity or self._opening.discontinuity
        last = self.segments[-1] if self.segments else None
        self._opening = Segment(
            msn=self.next_msn,
            init_uri=init_uri,
            new_map=last is None or discontinuity or last.init_uri != init_uri,
            discontinuity=discontinuity and last is not None,
            utc_ms=utc_ms,
            independent=independent,
        )
        return self.next_msn

    def add_part(self, *, duration_us: int, independent: bool) -> tuple[int, int]:
        """A part of the open segment is complete. Returns its segment and index."""
        if self._opening is not None:
            self.segments.append(self._opening)
            self._opening = None
            self.next_msn += 1
        segment = self.segments[-1]
        assert not segment.complete, "a part needs an open segment"
        index = len(segment.parts)
        flag = ",INDEPENDENT=YES" if independent else ""
        uri = f"{part_name(segment.msn, index)}{_QUERY}"
        segment.parts.append(f'#EXT-X-PART:DURATION={seconds(duration_us)},URI="{uri}"{flag}\n')
        segment.duration_us += duration_us
        self._listed_us += duration_us
        return segment.msn, index

    def lead_in(self) -> None:
        """Where the first segment is still open, list a gap of one part before it.

        hls.js 1.7.4 ends with "No Segments found in Playlist" when parts are all there is (playlist-loader.ts), and
        loads parts only where one is listed before the open segment (base-stream-controller.ts, `shouldLoadParts`).
        With a key frame every ten seconds it would have nothing to play for so long. Goes once a segment is complete.
        """
        first = self.segments[0] if len(self.segments) == 1 else None
        if first is None or first.complete or self.ended:
            return
        gap_us = self.epoch.part_us
        gap = Segment(
            msn=first.msn - 1,
            init_uri=first.init_uri,
            new_map=True,
            discontinuity=False,
            utc_ms=first.utc_ms - gap_us // 1_000,
            independent=True,
        )
        gap.gap = gap.complete = True
        gap.duration_us = gap_us
        gap.parts.append(f'#EXT-X-PART:DURATION={seconds(gap_us)},URI="{part_name(gap.msn, 0)}{_QUERY}",GAP=YES\n')
        self.segments.appendleft(gap)
        self._listed_us += gap_us

    def close_segment(self) -> list[Segment]:
        """The open segment is complete; one without parts is forgotten. Returns what left the window."""
        if self._opening is not None or not self.segments:
            return []
        self.segments[-1].complete = True
        removed = []
        segments = self.segments
        if segments[0].gap:
            removed.append(segments.popleft())
            self._listed_us -= removed[0].duration_us
        while len(segments) > self._window_segments and self._listed_us - segments[0].duration_us >= self._window_us:
            oldest = segments.popleft()
            self._listed_us -= oldest.duration_us
            self.discontinuity_sequence += oldest.discontinuity
            removed.append(oldest)
        return removed

    # --- text ---

    def render(self, *, skip: bool = False, query: str = "", reports: Sequence[Report] = ()) -> str:
        """The playlist. `skip`: as a delta update where there is something to skip. `query`: "?token=..." or empty."""
        segments, epoch = self.segments, self.epoch
        parts_from_us = self._listed_us - 3_000_000 * epoch.target_duration_s
        skip_until_us = self._listed_us - 1_000 * epoch.can_skip_until_ms
        lines = [
            self._promises,
            f"#EXT-X-MEDIA-SEQUENCE:{segments[0].msn if segments else self.next_msn}\n",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self.discontinuity_sequence}\n",
            "" if any(not segment.independent for segment in segments) else "#EXT-X-INDEPENDENT-SEGMENTS\n",
            "",
        ]
        end_us = skipped = 0
        first = True
        for segment in segments:
            end_us += segment.duration_us
            if skip and end_us <= skip_until_us and not self.ended:
                skipped += 1
                continue
            with_parts = end_us > parts_from_us and not self.ended
            lines.append(segment.text(first=first, with_parts=with_parts))
            first = False
        if skipped:
            lines[4] = f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n"
        if self.ended:
            lines.append("#EXT-X-ENDLIST\n")
        else:
            lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{part_name(*self.hint)}{_QUERY}"\n')
            lines += map(_report_line, reports)
        return "".join(lines).replace(_QUERY, query)


def part_name(msn: int, index: int) -> str:
    """The file name of a part, which is its URI in the playlist."""
    return f"part-{msn}.{index}.m4s"


def multivariant(variants: Sequence[Variant], *, query: str = "") -> str:
    """The playlist of playlists."""
    return "".join(["#EXTM3U\n#EXT-X-VERSION:9\n", *(_variant_lines(variant, query) for variant in variants)])


def _variant_lines(variant: Variant, query: str) -> str:
    attributes = [
        f"BANDWIDTH={variant.bandwidth_bps}",
        f"AVERAGE-BANDWIDTH={variant.average_bandwidth_bps}",
        f'CODECS="{variant.codecs}"',
    ]
    if variant.width:
        attributes.append(f"RESOLUTION={variant.width}x{variant.height}")
        attributes.append(f"FRAME-RATE={variant.frame_rate:.3f}")
        attributes.append(f"VIDEO-RANGE={variant.video_range}")
    return f"#EXT-X-STREAM-INF:{','.join(attributes)}\n{variant.uri}{query}\n"


def _report_line(report: Report) -> str:
    return (
        f'#EXT-X-RENDITION-REPORT:URI="{report.uri}{_QUERY}",LAST-MSN={report.last_msn},LAST-PART={report.last_part}\n'
    )
