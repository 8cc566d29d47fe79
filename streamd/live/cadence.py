"""Steady frame rates, freed from the milliseconds that FLV counts in.

In: decode times of one video track in ticks of 90 kHz, rounded to milliseconds somewhere on their way (30 fps comes as
33, 33, 34 ms). Out: the same times on the exact grid of the frame rate, where there is one: durations of parts become
exact and their number does not flap. A time moves by one millisecond at most, so sound and picture stay together, and
a variable frame rate, which fits no grid for long, passes untouched.

How: the rate that the bitstream claims is taken at its word until a frame contradicts it; without a claim, or after a
contradiction, five seconds of frames must agree on one of the usual rates. Frames left out are holes in the grid.
Pure: no clock.
"""

from __future__ import annotations

from streamd.media.tracks import VIDEO_TIMESCALE_HZ

# The error of a time cut or rounded to whole milliseconds, against a grid that starts at such a time: under 1 ms.
TOLERANCE_TICKS = 90
_USUAL_RATES = (
    (15, 1),
    (20, 1),
    (24_000, 1_001),
    (24, 1),
    (25, 1),
    (30_000, 1_001),
    (30, 1),
    (50, 1),
    (60_000, 1_001),
    (60, 1),
)
# 29.97 and 30 fps part by a millisecond a second: after five they cannot be mistaken for each other.
_AGREEMENT_TICKS = 5 * VIDEO_TIMESCALE_HZ
# A search that found nothing is made anew after so many frames: encoders settle, screens start to move.
_SEARCH_FRAMES = 600
# A grid that held so long and is missed by little follows the encoder's clock instead of being given up.
_TRUSTED_FRAMES = 100
_SAME_RATE_FPS = 0.002  # `nominal_fps` has three decimals


class _Hypothesis:
    """One frame rate, and where its grid could start given the frames seen."""

    __slots__ = ("high", "index", "low", "rate", "scale")

    def __init__(self, rate: int, scale: int, dts: int) -> None:
        self.rate = rate
        self.scale = scale
        self.index = 0
        self.low = dts - TOLERANCE_TICKS
        self.high = dts + TOLERANCE_TICKS

    def holds(self, dts: int) -> bool:
        """Whether a frame at `dts` still fits; narrows the start."""
        index = ((dts - (self.low + self.high) // 2) * self.rate + self.scale // 2) // self.scale
        at = (index * self.scale + self.rate // 2) // self.rate
        self.low = max(self.low, dts - TOLERANCE_TICKS - at)
        self.high = min(self.high, dts + TOLERANCE_TICKS - at)
        is_later = index > self.index
        self.index = index
        return is_later and self.low <= self.high


class Cadence:
    """The grid of one video track. Frame `n` of it stands at `base + n * scale / rate`, rounded."""

    __slots__ = ("_base", "_half", "_index", "_rate", "_scale", "_search", "_seen", "_trusted_from")

    def __init__(self) -> None:
        self._rate = 0  # frames in `_scale` ticks; 0: no grid
        self._scale = self._half = 0
        self._base = self._index = self._trusted_from = 0
        self._search: list[_Hypothesis] = []
        self._seen = 0

    def start(self, nominal_fps: float | None, *, keep: bool = False) -> None:
        """A new publication or revision of the track, whose bitstream claims `nominal_fps`; `keep` what was found."""
        if keep:
            return
        claim = _rate_of(nominal_fps)
        self._rate = 0
        self._search.clear()
        self._seen = 0
        if claim is not None:
            self._hold(*claim, base=0, index=-1)
            self._trusted_from = -1  # the first frame sets the base

    def shift(self) -> None:
        """The timeline was re-anchored: the same rate, on a grid that starts at the next frame."""
        if self._rate:
            self._trusted_from = self._index = -1
        self._search.clear()
        self._seen = 0

    def snap(self, dts: int) -> int:
        """The exact time of a frame that came as `dts`; `dts` itself where no grid holds.

        Strictly increasing for strictly increasing input.
        """
        if self._rate:
            index = self._index + 1
            exact = self._base + (index * self._scale + self._half) // self._rate
            if -TOLERANCE_TICKS <= dts - exact <= TOLERANCE_TICKS:
                self._index = index
                return exact
            return self._after_miss(dts)
        return self._look_for_rate(dts)

    def offset(self, cts: int) -> int | None:
        """The composition offset of the frame snapped last, in whole frames; None where it is not near one."""
        if not self._rate:
            return None
        frames = (cts * self._rate + self._scale // 2) // self._scale
        index = self._index
        here = (index * self._scale + self._half) // self._rate
        exact = ((index + frames) * self._scale + self._half) // self._rate - here
        return exact if -TOLERANCE_TICKS <= cts - exact <= TOLERANCE_TICKS else None

    def _hold(self, rate: int, scale: int, *, base: int, index: int) -> None:
        self._rate = rate
        self._scale = scale
        self._half = rate // 2
        self._base = base
        self._index = self._trusted_from = index

    def _after_miss(self, dts: int) -> int:
        """The first frame, a hole in the grid, an encoder's clock a little off, or no such frame rate after all."""
        if self._trusted_from < 0:
            self._base = dts
            self._index = self._trusted_from = 0
            return dts
        index = ((dts - self._base) * self._rate + self._scale // 2) // self._scale
        exact = self._base + (index * self._scale + self._half) // self._rate
        miss = dts - exact
        if index > self._index:
            if -TOLERANCE_TICKS <= miss <= TOLERANCE_TICKS:
                self._index = index
                return exact
            if -2 * TOLERANCE_TICKS <= miss <= 2 * TOLERANCE_TICKS and index - self._trusted_from >= _TRUSTED_FRAMES:
                step = TOLERANCE_TICKS if miss > 0 else -TOLERANCE_TICKS
                self._base += step
                self._index = self._trusted_from = index
                return exact + step
        self._rate = 0
        return self._look_for_rate(dts)

    def _look_for_rate(self, dts: int) -> int:
        if not self._seen:
            self._base = dts
            self._search = [_Hypothesis(rate, scale * VIDEO_TIMESCALE_HZ, dts) for rate, scale in _USUAL_RATES]
        elif self._search:
            self._search = [guess for guess in self._search if guess.holds(dts)]
        self._seen = (self._seen + 1) % _SEARCH_FRAMES
        if self._search and dts - self._base >= _AGREEMENT_TICKS:
            # Twice a rate fits wherever the rate does: the lowest is the one.
            found = self._search[0]
            middle = (found.low + found.high) // 2
            self._hold(found.rate, found.scale, base=middle, index=found.index)
            self._search = []
            self._seen = 0
        return dts


def _rate_of(nominal_fps: float | None) -> tuple[int, int] | None:
    """Frames in a number of ticks, for a rate that is usual or whole."""
    if nominal_fps is None:
        return None
    for rate, scale in _USUAL_RATES:
        if abs(nominal_fps * scale - rate) < _SAME_RATE_FPS * scale:
            return rate, scale * VIDEO_TIMESCALE_HZ
    if nominal_fps == int(nominal_fps) and 1 <= nominal_fps <= 240:
        return int(nominal_fps), VIDEO_TIMESCALE_HZ
    return None
