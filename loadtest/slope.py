"""Whether something stays as it is: a straight line through readings that outliers do not bend, and how sure it is.

The slope is Theil and Sen's (the median of the slopes between all pairs), its certainty Mann and Kendall's test.
Readings of a program lean on each other, so the test alone cries wolf: a drift has to be sure *and* larger than what is
allowed. Pure. Sources: Sen 1968; Mann 1945; Gilbert 1987, 16.4 (ties).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

_SURE = 0.01  # the chance that readings without a trend look like this
_MOST_POINTS = 240  # more are put together first: pairs grow with the square


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What a series of readings does over its time."""

    usual: float  # median reading
    per_hour: float
    whole: float  # from the first to the last reading, by the line
    chance: float  # of such readings if there were no trend

    def is_flat(self, *, allowed: float) -> bool:
        """Whether it does not grow by more than `allowed` over the readings, as far as can be told. Falling is flat."""
        return self.whole <= allowed or self.chance > _SURE


def drift(points: Sequence[tuple[float, float]]) -> Drift:
    """Of (seconds, reading), at least three, in order of time."""
    kept = _thinned(points)
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(kept, 2) if x2 > x1]
    slope = median(slopes)
    return Drift(
        usual=median(y for _, y in kept),
        per_hour=slope * 3_600,
        whole=slope * (kept[-1][0] - kept[0][0]),
        chance=_chance([y for _, y in kept]),
    )


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Medians of neighbours, few enough to compare each with each."""
    size = -(-len(points) // _MOST_POINTS)
    groups = (points[at : at + size] for at in range(0, len(points), size))
    return [(median(x for x, _ in group), median(y for _, y in group)) for group in groups]


def _chance(values: Sequence[float]) -> float:
    """Mann and Kendall's p, two-sided, with ties."""
    count = len(values)
    score = sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))
    spread = count * (count - 1) * (2 * count + 5)
    spread -= sum(ties * (ties - 1) * (2 * ties + 5) for ties in Counter(values).values())
    if not score or spread <= 0:
        return 1.0
    z = (abs(score) - 1) / math.sqrt(spread / 18)
    return math.erfc(z / math.sqrt(2))
