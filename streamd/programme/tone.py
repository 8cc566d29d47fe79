"""The sound of the programme: a beep on every full second, silence between.

One second is computed once; every frame of audio is a slice of it. Samples are mono 32-bit floats, native byte order.
"""

from __future__ import annotations

import math
from array import array

SAMPLE_RATE_HZ = 48_000
SAMPLE_BYTES = 4

_BEEP_HZ = 880
_BEEP_SAMPLES = SAMPLE_RATE_HZ // 10
_RAMP_SAMPLES = SAMPLE_RATE_HZ // 500  # 2 ms: soft enough not to click, sharp enough to measure by
_PEAK = 0.22


class Tone:
    """Sample 0 is the Unix epoch, and the start of a beep."""

    def __init__(self, *, most_samples: int) -> None:
        """`most_samples`: the longest slice that will be asked for."""
        second = array("f", bytes(SAMPLE_RATE_HZ * SAMPLE_BYTES))
        for index in range(_BEEP_SAMPLES):
            ramp = min(1.0, (index + 1) / _RAMP_SAMPLES, (_BEEP_SAMPLES - index) / _RAMP_SAMPLES)
            second[index] = _PEAK * ramp * math.sin(2 * math.pi * _BEEP_HZ * index / SAMPLE_RATE_HZ)
        self._bytes = second.tobytes() + second[:most_samples].tobytes()

    def samples(self, start: int, count: int) -> bytes:
        """`count` samples from sample `start` on, as bytes."""
        first = start % SAMPLE_RATE_HZ * SAMPLE_BYTES
        return self._bytes[first : first + count * SAMPLE_BYTES]
