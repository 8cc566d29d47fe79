"""What a chart says, apart from how it is drawn (`loadtest.drawing`): plain facts, which travel as JSON.

Three kinds: lines over time with marks for what happened; percentiles, drawn towards ever rarer waits; bars for the
same figure of several servers. At most six series share a chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from loadtest.histogram import Histogram


class Kind(StrEnum):
    """How a chart is drawn."""

    LINES = "lines"
    PERCENTILES = "percentiles"
    BARS = "bars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A name and its points, x ascending. Of bars, only y counts, and the range of the points is shown."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One picture."""

    title: str
    kind: Kind
    unit: str  # of y
    series: tuple[Series, ...]
    marks: tuple[tuple[float, str], ...] = ()  # what happened when, for lines
    limit: float | None = None  # a target on y
    across: str = "s"  # what x counts, for lines

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        """What `asdict` and JSON made of one."""
        series = tuple(Series(name=one["name"], points=_pairs(one["points"])) for one in said["series"])
        marks = tuple((at, text) for at, text in said["marks"])
        return cls(**{**said, "kind": Kind(said["kind"]), "series": series, "marks": marks})


def percentiles(title: str, waits: Mapping[str, Histogram], *, limit_ms: float | None = None) -> Chart:
    """How long the rarest waits are, in milliseconds."""
    series = tuple(Series(name=name, points=tuple(one.curve_ms())) for name, one in waits.items() if one.count)
    return Chart(title=title, kind=Kind.PERCENTILES, unit="ms", series=series, limit=limit_ms)


def lines(title: str, unit: str, series: Mapping[str, Iterable[tuple[float, float]]], *, across: str = "s") -> Chart:
    """Seconds across, or what else is said; `unit` upwards."""
    drawn = tuple(Series(name=name, points=tuple(points)) for name, points in series.items())
    return Chart(title=title, kind=Kind.LINES, unit=unit, series=drawn, across=across)


def bars(title: str, unit: str, samples: Mapping[str, Iterable[float]]) -> Chart:
    """The median of each, with its range."""
    drawn = tuple(Series(name=name, points=tuple((0.0, one) for one in found)) for name, found in samples.items())
    return Chart(title=title, kind=Kind.BARS, unit=unit, series=drawn)


def _pairs(points: Iterable[Iterable[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in points)
