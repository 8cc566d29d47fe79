"""A strict player of our playlists: reads them by RFC 8216bis alone and objects to whatever the RFC forbids.

It keeps what it has seen, as a player does, so that a promise broken between two reloads is noticed: frozen tags that
change, a segment that is not what it was, sequence numbers that go back, parts that do not sum to their segment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

FROZEN = ("EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-SERVER-CONTROL", "EXT-X-PART-INF")
ORDER = (
    *FROZEN,
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-SKIP",
)
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",\s]+)(?:,|$)')


def attributes(text: str) -> dict[str, str]:
    """An attribute list; nothing may be left over, nothing may occur twice."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _ATTRIBUTE.match(text, at)
        assert match, f"not an attribute list: {text!r}"
        name, value = match.groups()
        assert name not in found, f"{name} occurs twice"
        found[name] = value.strip('"')
        at = match.end()
    return found


@dataclass
class Part:
    uri: str
    duration: Decimal
    independent: bool
    gap: bool = False


@dataclass
class Segment:
    msn: int
    map_uri: str
    discontinuity_sequence: int
    date_time: str | None = None
    uri: str | None = None  # None while open
    duration: Decimal | None = None
    parts: list[Part] = field(default_factory=list)
    parts_listed: bool = False
    gap: bool = False

    @property
    def length(self) -> Decimal:
        return self.duration if self.duration is not None else sum((p.duration for p in self.parts), Decimal(0))


@dataclass
class Playlist:
    """One playlist as read; `segments` has None for those that a delta update skipped."""

    frozen: tuple[str, ...]
    target_duration: int
    part_target: Decimal
    control: dict[str, str]
    media_sequence: int
    discontinuity_sequence: int
    independent_segments: bool
    skipped: int
    segments: list[Segment]
    hint: str | None
    reports: list[dict[str, str]]
    ended: bool


def parse(text: str, known: Mapping[int, Segment] | None = None) -> Playlist:
    """Read one media playlist. Every tag must be known, in order, and said once where once is the rule.

    `known`: segments by number from earlier reads, which a delta update builds on.
    """
    assert text.endswith("\n")
    lines = text.split("\n")[:-1]
    assert lines[0] == "#EXTM3U"
    head: dict[str, str] = {}
    at = 1
    while at < len(lines):
        name, _, value = lines[at].removeprefix("#").partition(":")
        if name not in ORDER:
            break
        assert name not in head, f"{name} occurs twice"
        assert not head or ORDER.index(name) > ORDER.index(list(head)[-1]), f"{name} is out of order"
        head[name] = value
        at += 1
    control = attributes(head["EXT-X-SERVER-CONTROL"])
    media_sequence = int(head["EXT-X-MEDIA-SEQUENCE"])
    discontinuity_sequence = int(head.get("EXT-X-DISCONTINUITY-SEQUENCE", "0"))
    skipped = int(attributes(head["EXT-X-SKIP"])["SKIPPED-SEGMENTS"]) if "EXT-X-SKIP" in head else 0
    playlist = Playlist(
        frozen=tuple(f"{name}:{head[name]}" for name in FROZEN),
        target_duration=int(head["EXT-X-TARGETDURATION"]),
        part_target=Decimal(attributes(head["EXT-X-PART-INF"])["PART-TARGET"]),
        control=control,
        media_sequence=media_sequence,
        discontinuity_sequence=discontinuity_sequence,
        independent_segments="EXT-X-INDEPENDENT-SEGMENTS" in head,
        skipped=skipped,
        segments=[],
        hint=None,
        reports=[],
        ended=False,
    )
    last_skipped = (known or {}).get(media_sequence + skipped - 1) if skipped else None
    _body(lines[at:], playlist, last_skipped)
    return playlist


def _body(lines: list[str], playlist: Playlist, last_skipped: Segment | None) -> None:
    map_uri: str | None = None
    discontinuity = playlist.discontinuity_sequence
    if last_skipped is not None:
        map_uri, discontinuity = last_skipped.map_uri, last_skipped.discontinuity_sequence
    pending_duration: Decimal | None = None
    current: Segment | None = None
    msn = playlist.media_sequence + playlist.skipped

    def segment() -> Segment:
        nonlocal current
        if current is None:
            assert map_uri is not None, "a segment without a map"
            current = Segment(msn, map_uri, discontinuity)
        return current

    for line in lines:
        assert not playlist.ended, "something follows EXT-X-ENDLIST"
        name, _, value = line.removeprefix("#").partition(":")
        if not line.startswith("#"):
            done = segment()
            assert pending_duration is not None, "a URI without EXTINF"
            done.uri, done.duration = line, pending_duration
            playlist.segments.append(done)
            current, pending_duration, msn = None, None, msn + 1
            continue
        assert playlist.hint is None or name in ("EXT-X-RENDITION-REPORT",), f"{name} after the hint"
        assert pending_duration is None, f"{name} between EXTINF and its URI"
        if name == "EXT-X-DISCONTINUITY":
            assert current is None, "DISCONTINUITY must precede the segment"
            discontinuity += 1
        elif name == "EXT-X-MAP":
            assert current is None, "MAP must precede the first part of its segment"
            map_uri = attributes(value)["URI"]
        elif name == "EXT-X-PROGRAM-DATE-TIME":
            assert current is None, "PROGRAM-DATE-TIME must precede the first part of its segment"
            segment().date_time = value
        elif name == "EXT-X-GAP":
            segment().gap = True
        elif name == "EXT-X-PART":
            _part(attributes(value), segment())
        elif name == "EXTINF":
            pending_duration = Decimal(value.rstrip(","))
            assert value.endswith(",")
        elif name == "EXT-X-PRELOAD-HINT":
            hint = attributes(value)
            assert hint["TYPE"] == "PART"
            playlist.hint = hint["URI"]
        elif name == "EXT-X-RENDITION-REPORT":
            playlist.reports.append(attributes(value))
        elif name == "EXT-X-ENDLIST":
            playlist.ended = True
        else:
            raise AssertionError(f"unknown tag {line!r}")
    if current is not None:
        playlist.segments.append(current)


def _part(listed: dict[str, str], segment: Segment) -> None:
    assert listed.get("INDEPENDENT", "YES") == "YES"
    segment.parts_listed = True
    gap = listed.get("GAP") == "YES"
    segment.parts.append(Part(listed["URI"], Decimal(listed["DURATION"]), "INDEPENDENT" in listed, gap))


class StrictReader:
    """See the module's promise. `short_parts` counts parts below 85 % of the target that the rules do not excuse."""

    def __init__(self) -> None:
        self.reloads = 0
        self.frozen: tuple[str, ...] | None = None
        self.segments: dict[int, Segment] = {}
        self.first_msn = self.last_msn = -1
        self.last_part = -1
        self.discontinuity_sequence = -1
        self.short_parts = 0
        self.parts_seen = 0

    def read(self, text: str) -> Playlist:
        """Take one answer, full or delta, and hold it against everything seen before."""
        playlist = parse(text, self.segments)
        self.reloads += 1
        self._promises(playlist)
        self._sequence(playlist)
        for segment in playlist.segments:
            self._segment(segment, playlist)
        self._window(playlist)
        self._newest(playlist)
        return playlist

    def _promises(self, playlist: Playlist) -> None:
        assert self.frozen in (None, playlist.frozen), f"{self.frozen} became {playlist.frozen}"
        self.frozen = playlist.frozen
        control, target, part = playlist.control, playlist.target_duration, playlist.part_target
        assert control["CAN-BLOCK-RELOAD"] == "YES"
        assert Decimal(control["PART-HOLD-BACK"]) >= 3 * part
        assert Decimal(control["HOLD-BACK"]) >= 3 * target
        assert Decimal(control["CAN-SKIP-UNTIL"]) >= 6 * target

    def _sequence(self, playlist: Playlist) -> None:
        assert playlist.media_sequence >= self.first_msn, "the media sequence number went back"
        assert playlist.discontinuity_sequence >= self.discontinuity_sequence
        self.first_msn = playlist.media_sequence
        self.discontinuity_sequence = playlist.discontinuity_sequence
        if playlist.skipped:
            for msn in range(playlist.media_sequence, playlist.media_sequence + playlist.skipped):
                assert msn in self.segments, "skipped a segment that this reader never saw"
            boundary = Decimal(playlist.control["CAN-SKIP-UNTIL"])
            assert sum(segment.length for segment in playlist.segments) >= boundary, "skipped inside the boundary"

    def _segment(self, segment: Segment, playlist: Playlist) -> None:
        assert segment.date_time is not None, "PROGRAM-DATE-TIME on every segment"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", segment.date_time)
        seen = self.segments.get(segment.msn)
        assert segment.duration is None or all(part.gap == segment.gap for part in segment.parts)
        if segment.duration is not None:
            assert round(segment.duration + Decimal("1e-9")) <= playlist.target_duration, "EXTINF above the target"
            if segment.parts:
                assert sum(part.duration for part in segment.parts) == segment.duration, "parts sum to their segment"
        for index, part in enumerate(segment.parts):
            assert part.duration <= playlist.part_target, f"part {index} of {segment.msn} lasts {part.duration}"
        if seen is not None:
            same = (seen.map_uri, seen.discontinuity_sequence, seen.date_time)
            assert (segment.map_uri, segment.discontinuity_sequence, segment.date_time) == same
            if seen.duration is not None:
                assert (segment.uri, segment.duration) == (seen.uri, seen.duration), "a listed segment changed"
            if segment.parts:
                assert segment.parts[: len(seen.parts)] == seen.parts, "a listed part changed"
            else:
                segment.parts = seen.parts
        self._count_short(segment, seen, playlist)
        self.segments[segment.msn] = segment

    def _count_short(self, segment: Segment, seen: Segment | None, playlist: Playlist) -> None:
        """Below 85 % only with a key frame in front or at a segment's end, which is known once another part follows."""
        if seen is not None and seen.duration is not None:
            return
        floor = playlist.part_target * Decimal("0.85")
        checked = segment.parts[:-1]
        before = max(len(seen.parts) - 1, 0) if seen is not None else 0
        self.parts_seen += len(checked[before:]) + (segment.duration is not None)
        self.short_parts += sum(
            not part.independent and not part.gap and part.duration < floor for part in checked[before:]
        )

    def _window(self, playlist: Playlist) -> None:
        """Parts stay listed for three target durations from the end, and not for segments that are long past it."""
        end = Decimal(0)
        for segment in reversed(playlist.segments):
            age = end  # of the segment's end
            end += segment.length
            if playlist.ended:
                assert not segment.parts_listed
            elif age < 3 * playlist.target_duration:
                assert segment.parts_listed, f"parts of {segment.msn} went {age} s before the end"
            else:
                assert not segment.parts_listed, f"parts of {segment.msn} are still listed {age} s before the end"

    def _newest(self, playlist: Playlist) -> None:
        last = playlist.segments[-1]
        numbers = [segment.msn for segment in playlist.segments]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        newest = (last.msn, len(last.parts) - 1)
        assert newest >= (self.last_msn, self.last_part), "the newest part went back"
        self.last_msn, self.last_part = newest
        if playlist.ended:
            assert playlist.hint is None
            return
        expected = (last.msn, len(last.parts)) if last.uri is None else (last.msn + 1, 0)
        assert playlist.hint is not None, "a live playlist always hints at the next part"
        assert playlist.hint.split("?")[0].endswith(f"part-{expected[0]}.{expected[1]}.m4s")
