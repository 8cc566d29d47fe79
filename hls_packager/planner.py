"""What to promise: reads the rhythm of a stream and decides part target and target duration from it.

In: decode times of the first frames (exact, or rounded to the milliseconds of RTMP, or jittering as hardware encoders
do), the distances of key frames, the operator's wishes. Out: a `Cadence` and an `Epoch`, by pure arithmetic.

The plan of parts: the wished length rounded up to a whole number of frames, announced one millisecond longer. So 29.97
frames/s give 15 frames, 500.5 ms, PART-TARGET 0.502; parts of a regular stream are all equal and 85 % of the target is
never in question (RFC 8216bis 4.4.4.9). Not here: cutting (segmenter).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil
from statistics import median_low

from hls_packager.model import Cadence, Epoch, HlsSettings

# Frames a second that encoders mean when they say something close to it.
_RATES = (
    *(Fraction(rate) for rate in (5, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120)),
    *(Fraction(rate * 1000, 1001) for rate in (15, 24, 30, 60, 120)),
    Fraction(25, 2),
)
_UNKNOWN_FRAME = Fraction(1, 30)
# Two readings of a jittering clock, a millisecond and a bit each.
_READING_ERROR_S = Fraction(22, 10_000)
_TOLERANCE_S = Fraction(3, 1_000)


def frame_duration(dts: Sequence[int], timescale_hz: int, nominal_fps: float | None = None) -> tuple[Fraction, bool]:
    """Seconds a frame lasts, and whether frames come regularly.

    Lost frames and rounded timestamps do not disturb it: distances are counted in frames, so their sum telescopes.
    `nominal_fps` (the bitstream's claim) decides only between rates that the timestamps cannot tell apart.
    """
    steps = [after - before for before, after in pairwise(dts)]
    if not steps:
        return (_near_rate(nominal_fps) or _UNKNOWN_FRAME), True
    typical = max(1, median_low(steps))
    tolerance = max(float(_TOLERANCE_S) * timescale_hz, typical * 0.2)
    counts = [max(1, round(step / typical)) for step in steps]
    regular = sum(abs(step - count * typical) <= tolerance * count for step, count in zip(steps, counts, strict=True))
    if regular < 0.8 * len(steps):
        return Fraction(sum(steps), len(steps) * timescale_hz), False
    frames = sum(counts)
    mean = Fraction(sum(steps), frames * timescale_hz)
    exact = len(set(steps)) == 1
    error = Fraction(1, timescale_hz) if exact else _READING_ERROR_S / frames
    claimed = _near_rate(nominal_fps)
    if claimed is not None and abs(claimed - mean) <= error:
        return claimed, True
    nearest = min((1 / rate for rate in _RATES), key=lambda frame: abs(frame - mean))
    return (nearest if abs(nearest - mean) <= error else mean), True


def _near_rate(fps: float | None) -> Fraction | None:
    """The frame duration of the standard rate that `fps` means."""
    if fps is None or fps <= 0:
        return None
    nearest = min(_RATES, key=lambda rate: abs(float(rate) - fps))
    return 1 / nearest if abs(float(nearest) - fps) <= 0.001 * fps else None


def plan(cadence: Cadence, settings: HlsSettings) -> Epoch:
    """The promises of a new epoch."""
    wished = Fraction(settings.part_ms, 1_000)
    if cadence.constant:
        # A fiftieth of a frame is the error of a measured mean, not another frame.
        frames = max(1, ceil(wished / cadence.frame - Fraction(1, 50)))
        part = frames * cadence.frame
    else:
        part = wished
    part_target_ms = ceil(part * 1_000) + 1
    if cadence.gop_ms is None and cadence.has_video:
        seconds = max(settings.long_gop_target_s, _round_up(settings.segment_ms))
    else:
        gop_ms = min(cadence.gop_ms or 0, settings.long_gop_target_s * 1_000)
        seconds = _round_up(max(settings.segment_ms, gop_ms))
    return Epoch(
        target_duration_s=max(1, seconds, ceil(Fraction(part_target_ms, 1_000))),
        part_target_ms=part_target_ms,
        part_us=round(part * 1_000_000),
    )


def _round_up(longest_ms: int) -> int:
    """A target duration that segments of `longest_ms` round to, with a quarter of a second to spare.

    Rounding decides (RFC 8216bis 4.4.3.1): 60 frames at 29.97/s last 2.002 s and fit a target of 2.
    """
    return ceil(Fraction(longest_ms - 250, 1_000))
