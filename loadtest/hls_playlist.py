"""What a low-latency viewer reads in a media playlist: its end, and the parts before it. Pure.

Source: draft-pantos-hls-rfc8216bis 4.4.4.9 (EXT-X-PART), 4.4.3.8 (EXT-X-SERVER-CONTROL), 6.2.5.2 (delta updates).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_PART = re.compile(r'#EXT-X-PART:.*?DURATION=([\d.]+).*?URI="([^"]+)"')
_HOLD_BACK = re.compile(r"PART-HOLD-BACK=([\d.]+)")


@dataclass(slots=True, frozen=True)
class ListedPart:
    """One part. Its place is media sequence number and number within the segment."""

    place: tuple[int, int]
    uri: str
    begins_utc_s: float  # by EXT-X-PROGRAM-DATE-TIME and the durations after it
    ends_utc_s: float
    is_independent: bool


@dataclass(slots=True, frozen=True)
class Edge:
    """What one playlist says about its end."""

    ask_next: tuple[int, int]  # media sequence number and part to ask for
    parts: tuple[ListedPart, ...]  # in order, as far back as any are listed
    part_end_utc_s: float
    hold_back_s: float  # how far from the end a player has to stay

    @property
    def last_part(self) -> str:
        """Where the newest part is; empty without parts."""
        return self.parts[-1].uri if self.parts else ""

    def first_to_play(self) -> ListedPart:
        """The latest part that a decoder can begin with and that is not nearer to the end than allowed."""
        latest_s = self.part_end_utc_s - self.hold_back_s
        fit = [part for part in self.parts if part.is_independent and part.begins_utc_s <= latest_s + 0.001]
        return fit[-1] if fit else self.parts[0]

    def after(self, place: tuple[int, int]) -> tuple[ListedPart, ...]:
        """The parts that follow one, in order."""
        return tuple(part for part in self.parts if part.place > place)


def read_edge(playlist: str) -> Edge:
    """Where a playlist ends: the next part to ask for, those there are, and the moment that the last one ends."""
    msn = part = 0
    parts: list[ListedPart] = []
    clock_s = 0.0
    hold_back_s = 0.0
    for line in playlist.splitlines():
        if line.startswith("#EXT-X-MEDIA-SEQUENCE:"):
            msn = int(line.partition(":")[2])
        elif line.startswith("#EXT-X-SKIP:"):
            msn += int(re.findall(r"SKIPPED-SEGMENTS=(\d+)", line)[0])
        elif line.startswith("#EXT-X-SERVER-CONTROL:") and (found := _HOLD_BACK.search(line)):
            hold_back_s = float(found.group(1))
        elif line.startswith("#EXT-X-PROGRAM-DATE-TIME:"):
            clock_s = datetime.fromisoformat(line.partition(":")[2]).timestamp()
        elif found := _PART.match(line):
            ends_s = clock_s + float(found.group(1))
            parts.append(ListedPart((msn, part), found.group(2), clock_s, ends_s, "INDEPENDENT=YES" in line))
            clock_s = ends_s
            part += 1
        elif line and not line.startswith("#"):
            msn += 1
            part = 0
    return Edge((msn, part), tuple(parts), clock_s, hold_back_s)
