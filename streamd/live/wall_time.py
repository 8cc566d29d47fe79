"""The stream's timeline against the wall clock: how far they part, and what hour a frame belongs to.

In: for every frame, where it stands on the timeline and when it arrived. Out: the *lead* (timeline minus arrival of the
frames that travelled fastest), the drift of the encoder's clock, and UTC for any place on the timeline.

The timeline advances as the encoder's clock does. A clock that is off by 100 ppm parts by 8.6 s in a day, so UTC is the
timeline plus a correction that follows the lead, by 5 ms in a second of programme at most: never going back, without
steps inside a publication. Between publications the timeline has a gap anyway, and the correction is set anew there.
Only late arrival can lower a lead, never early arrival raise it: rises are believed at once, falls slowly.
All times are integers in milliseconds. Pure: arrival times are handed in.
"""

from __future__ import annotations

_FIRST_BLOCK_MS = 2_000  # the burst in which encoders send what they had queued while connecting
_FIRST_FRAMES_MS = 1_000  # how far apart the first frames of two tracks may stand
_BLOCK_MS = 10_000
_FALL_PER_BLOCK_MS = 5  # 500 ppm: five times what encoders' clocks are off
_SLEW_DIVISOR = 200
# A lead this much lower for a minute is no congestion: the server's own clock was set.
_CLOCK_SET_MS = 5_000
_CLOCK_SET_BLOCKS = 6
_NEVER = -(1 << 62)


class WallTime:
    """One stream's timeline and the hour."""

    __slots__ = ("_best", "_block_end", "_first", "_lead", "_low_blocks", "_segments")

    def __init__(self) -> None:
        self._lead = 0
        self._best = _NEVER
        self._block_end = 0
        self._first: int | None = None
        self._low_blocks = 0
        # Correction as pieces of a line: (from, correction there, correction it moves to). The last holds now; the one
        # before it answers for frames that are already in the store.
        self._segments = [(_NEVER, 0, 0), (_NEVER, 0, 0)]

    @property
    def lead_ms(self) -> int:
        """Timeline minus arrival, of the frames that travelled fastest in this publication."""
        return max(self._lead, self._best)

    @property
    def drift_ms(self) -> int:
        """How far the encoder's clock has run away from ours since the publication began; positive: it is fast."""
        return self._lead - self._first if self._first is not None else 0

    def anchor(self, timeline_ms: int, now_ms: int, *, last_end_ms: int | None) -> None:
        """A publication begins at `timeline_ms`, with a frame that arrived now; the last one ended at `last_end_ms`."""
        self._lead = self._best = timeline_ms - now_ms
        self._block_end = timeline_ms + _FIRST_BLOCK_MS
        self._first = None
        self._low_blocks = 0
        # From a little earlier, since another track's first frame may stand before this one; not before the last end.
        start = timeline_ms - _FIRST_FRAMES_MS
        correction = -self._lead
        if last_end_ms is not None:
            start = max(start, last_end_ms)
            correction = max(correction, self.utc_ms(last_end_ms) - start)
        self._segments = [self._segments[1], (start, correction, -self._lead)]

    def observe(self, timeline_ms: int, now_ms: int) -> None:
        """A frame that stands at `timeline_ms` arrived now."""
        lead = timeline_ms - now_ms
        if lead > self._best:
            self._best = lead
        if timeline_ms >= self._block_end:
            self._close_block(timeline_ms)

    def _close_block(self, timeline_ms: int) -> None:
        best = self._best
        self._low_blocks = self._low_blocks + 1 if best < self._lead - _CLOCK_SET_MS else 0
        if self._first is None:
            self._first = self._lead = best
        elif self._low_blocks >= _CLOCK_SET_BLOCKS:
            self._lead = best
            self._low_blocks = 0
        else:
            self._lead = max(best, self._lead - _FALL_PER_BLOCK_MS)
        self._best = _NEVER
        self._block_end = timeline_ms + _BLOCK_MS
        self._segments = [self._segments[1], (timeline_ms, self._correction(timeline_ms), -self._lead)]

    def explains(self, timeline_ms: int, now_ms: int, *, slack_ms: int) -> bool:
        """Whether a frame that stands that far ahead arrived no earlier than the wall clock allows."""
        return timeline_ms - now_ms <= self.lead_ms + slack_ms

    def utc_ms(self, timeline_ms: int) -> int:
        """UTC of a place on the timeline: grows with it, also between calls, for places already reached."""
        return timeline_ms + self._correction(timeline_ms)

    def _correction(self, timeline_ms: int) -> int:
        start, here, goal = self._segments[1]
        if timeline_ms < start:
            end = start
            start, here, goal = self._segments[0]
            timeline_ms = min(max(timeline_ms, start), end)
        if start == _NEVER:
            return here
        most = (timeline_ms - start) // _SLEW_DIVISOR
        return here + max(-most, min(most, goal - here))
