"""Where a viewer is in the programme: plays on while there is media, stands still when there is none, and counts.

It plays from a chosen moment of the programme, as soon as all has arrived that was there when it came, at the speed of
the clock. A part that arrives after the one before it has been played to its end was a stall, and everything later is
seen that much later: nothing is skipped and nothing hurried, as the harshest player would. Pure: UTC seconds go in.
"""

from __future__ import annotations

_WORTH_COUNTING_S = 0.02  # less is not even one picture


class Playhead:
    """One viewer's."""

    __slots__ = ("_begin_s", "_enough_s", "_media_end_s", "latency_s", "stalled_s", "stalls")

    def __init__(self, begin_s: float, *, enough_s: float) -> None:
        """`begin_s`: the moment to begin with; a decoder may need parts before it, which are not seen.

        `enough_s`: up to where media has to be there first, the end of the playlist at the beginning.
        """
        self._begin_s = begin_s
        self._enough_s = enough_s
        self.latency_s: float | None = None  # between what is seen and what happens; None before it plays
        self.stalls = 0
        self.stalled_s = 0.0
        self._media_end_s = 0.0

    def take(self, begins_s: float, ends_s: float, *, now_s: float) -> None:
        """A part has arrived whole."""
        if self.latency_s is not None:
            self._stand_still(now_s)
        else:
            if not self._media_end_s:
                self._begin_s = max(self._begin_s, begins_s)
            if ends_s >= self._enough_s:
                self.latency_s = now_s - self._begin_s
        self._media_end_s = ends_s

    def finish(self, *, now_s: float) -> None:
        """Nothing more will come: a wait that lasts counts as far as it has got."""
        if self.latency_s is not None:
            self._stand_still(now_s)

    def buffered_s(self, now_s: float) -> float:
        """Media that has come and was not seen yet."""
        return 0.0 if self.latency_s is None else max(0.0, self._media_end_s + self.latency_s - now_s)

    def _stand_still(self, now_s: float) -> None:
        assert self.latency_s is not None
        missing_s = now_s - (self._media_end_s + self.latency_s)
        if missing_s > 0:
            self.latency_s += missing_s
            self.stalled_s += missing_s
            self.stalls += missing_s > _WORTH_COUNTING_S
