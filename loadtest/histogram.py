"""An HDR histogram: every time within 0.1 % of itself, however long, in memory that does not grow with the count.

Values are whole microseconds. A bucket holds the values that agree in their eleven leading bits. Histograms of several
processes add up, and travel as JSON. `record_paced` corrects for coordinated omission: who asks again only after an
answer has come does not see the askers that would have come meanwhile, so one long wait stands for all of theirs.
Pure. Source: Gil Tene, HdrHistogram.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Self

_BITS = 11  # 2**-10 of a value is its bucket's width at most
# Where a curve is looked at: the shares of all values that are not above.
_CURVE = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999)


class Histogram:
    """See the module's promise."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        """`counts`: of a histogram that is to go on, by the buckets' numbers."""
        self._counts: dict[int, int] = dict(counts or {})
        self.count = sum(self._counts.values())

    @classmethod
    def of_us(cls, values: Iterable[float]) -> Self:
        """Of measured microseconds."""
        made = cls()
        for value in values:
            made.record(value)
        return made

    @classmethod
    def from_json(cls, said: Mapping[str, int]) -> Self:
        """What `as_json` said."""
        return cls({int(bucket): count for bucket, count in said.items()})

    def as_json(self) -> dict[str, int]:
        """Counts by the bucket's number."""
        return {str(bucket): count for bucket, count in self._counts.items()}

    def record(self, value_us: float, count: int = 1) -> None:
        """One value, or several alike. Below zero is zero: clocks of two processes may disagree by a microsecond."""
        whole = max(0, int(value_us))
        shift = max(0, whole.bit_length() - _BITS)
        bucket = shift << _BITS | whole >> shift
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += count

    def record_paced(self, value_us: float, interval_us: float) -> None:
        """A wait of somebody who meant to ask every `interval_us`: also the waits of those who could not ask."""
        self.record(value_us)
        if interval_us <= 0:
            return
        missing = value_us - interval_us
        while missing >= interval_us:
            self.record(missing)
            missing -= interval_us

    def paced(self, interval_us: float) -> Histogram:
        """The same, corrected afterwards: for closed loops, whose pace is known at the end only."""
        made = Histogram()
        for bucket, count in self._counts.items():
            made.record(value := _top_us(bucket), count)
            while interval_us > 0 and (value := value - interval_us) >= interval_us:
                made.record(value, count)
        return made

    def add(self, other: Histogram) -> None:
        """Take in another's values."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count

    def since(self, earlier: Histogram) -> Histogram:
        """What came after a former state of the same histogram."""
        counts = {bucket: count - earlier._counts.get(bucket, 0) for bucket, count in self._counts.items()}
        return Histogram({bucket: count for bucket, count in counts.items() if count > 0})

    def percentile_us(self, share: float) -> float:
        """The value that at least `share` (0 to 1) of all do not exceed; 0 when there is none."""
        wanted = max(1, -(-share * self.count // 1))
        ordered = sorted(self._counts)
        sums = accumulate(self._counts[bucket] for bucket in ordered)
        return next((_top_us(bucket) for bucket, seen in zip(ordered, sums, strict=True) if seen >= wanted), 0.0)

    def percentile_ms(self, share: float) -> float:
        """The same in milliseconds."""
        return self.percentile_us(share) / 1_000

    def curve_ms(self) -> Iterator[tuple[float, float]]:
        """Share of values, and the milliseconds that they do not exceed, as far out as there are values to say it.

        The longest stands where half of a value would be longer.
        """
        for share in _CURVE:
            if (1 - share) * self.count >= 1:
                yield share, self.percentile_ms(share)
        if self.count:
            yield 1 - 0.5 / self.count, self.percentile_ms(1.0)

    def summary_ms(self) -> tuple[float, ...]:
        """Median, 90 %, 99 %, 99.9 % and the longest."""
        return tuple(self.percentile_ms(share) for share in (0.5, 0.9, 0.99, 0.999, 1.0))


def _top_us(bucket: int) -> float:
    """The largest value that a bucket stands for."""
    shift, lead = bucket >> _BITS, bucket & (1 << _BITS) - 1
    return float(((lead + 1) << shift) - 1)
