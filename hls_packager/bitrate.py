"""BANDWIDTH and AVERAGE-BANDWIDTH, measured from the segments that were made and steady enough to be cached.

BANDWIDTH must not be exceeded by any segment (RFC 8216bis 4.4.6.2): it is the peak and a tenth, rounded up to a step,
and only ever grows. Until the first segment is complete, what there is of it has to do.
"""

from __future__ import annotations

from typing import NamedTuple

_PEAK_STEP_BPS = 50_000
_AVERAGE_STEP_BPS = 10_000
# A segment cut off by the encoder's departure may be a lone key frame: no measure of a peak.
_LEAST_US = 500_000


class BitrateState(NamedTuple):
    """What has been measured, in bytes and microseconds of media."""

    total_bytes: int = 0
    total_us: int = 0
    open_bytes: int = 0
    open_us: int = 0
    peak_bps: int = 0


_NOTHING = BitrateState()


class Bitrate:
    """See the module's promise."""

    __slots__ = ("_bytes", "_open_bytes", "_open_us", "_peak_bps", "_us")

    def __init__(self, state: BitrateState = _NOTHING) -> None:
        self._bytes, self._us, self._open_bytes, self._open_us, self._peak_bps = state

    @property
    def state(self) -> BitrateState:
        """For a measurement that goes on elsewhere."""
        return BitrateState(self._bytes, self._us, self._open_bytes, self._open_us, self._peak_bps)

    def add(self, size_bytes: int, duration_us: int) -> None:
        """A part of the open segment."""
        self._open_bytes += size_bytes
        self._open_us += duration_us

    def close(self) -> None:
        """The open segment is complete."""
        if self._open_us >= _LEAST_US:
            self._peak_bps = max(self._peak_bps, self._open_bytes * 8_000_000 // self._open_us)
        self._bytes += self._open_bytes
        self._us += self._open_us
        self._open_bytes = self._open_us = 0

    @property
    def bandwidth_bps(self) -> int:
        """The peak, with its margin."""
        peak = self._peak_bps or self._open_bytes * 8_000_000 // max(self._open_us, 1)
        return _up(peak * 11 // 10, _PEAK_STEP_BPS)

    @property
    def average_bps(self) -> int:
        """Of all segments so far."""
        size, us = (self._bytes, self._us) if self._us else (self._open_bytes, self._open_us)
        return min(_up(size * 8_000_000 // max(us, 1), _AVERAGE_STEP_BPS), self.bandwidth_bps)


def _up(value: int, step: int) -> int:
    return max(1, -(-value // step)) * step
