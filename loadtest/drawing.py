"""Charts as SVG: no script, no font of its own, colours by the classes of the page that holds them.

Every drawing is 520 units wide. Lines are labelled where they end, pushed apart where labels would meet; what is under
the pointer is named by a `title`. Pure: a chart goes in, text comes out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from statistics import median

from loadtest.charts import Chart, Kind, Series
from loadtest.report import number

_WIDTH, _HEIGHT = 520, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 148, 40, 30
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_LABEL_APART, _TICK_APART = 14, 44
_BAR_PITCH, _BAR_HEIGHT, _BAR_LEFT, _BAR_RIGHT = 34, 16, 150, 100
_LABEL_LETTERS = 18  # fit beside the plot
_RAREST = 1e-9
_FEW_POINTS, _GAP = 15, 3.5


def draw(chart: Chart) -> str:
    """The chart as one SVG element."""
    if not any(series.points for series in chart.series):
        return _svg(40, [_text(0, 24, "nothing was measured", "axis")], chart)
    return _bars(chart) if chart.kind is Kind.BARS else _plot(chart)


def ticks(most: float, about: int = 4) -> list[float]:
    """Round numbers from zero to at least `most`, about so many steps of 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [index * step for index in range(math.ceil(most / step - 1e-9) + 1)]


def _plot(chart: Chart) -> str:
    across = _nines if chart.kind is Kind.PERCENTILES else _identity
    xs = [across(x) for series in chart.series for x, _ in series.points]
    last = max(xs) or 1.0
    steps = ticks(max([y for series in chart.series for _, y in series.points] + [chart.limit or 0.0]))

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + across(x) / last * _PLOT_WIDTH, _TOP + (1 - y / steps[-1]) * _PLOT_HEIGHT

    parts = [_text(0, 10, chart.unit, "axis")]
    for step in steps:
        _, y = place(0, step)
        parts += [_line(_LEFT, y, _LEFT + _PLOT_WIDTH, y, "grid"), _text(_LEFT - 8, y + 4, _short(step), "axis end")]
    named = _rare_ticks(last) if chart.kind is Kind.PERCENTILES else _plain_ticks(last, chart.across)
    free = 0.0
    for x, name in named:
        at = _LEFT + x / last * _PLOT_WIDTH
        if at >= free:
            parts.append(_text(at, _HEIGHT - 12, name, "axis mid"))
            free = at + _TICK_APART
    parts += _marks(chart, place, last)
    if chart.limit is not None:
        _, y = place(0, chart.limit)
        parts += [_line(_LEFT, y, _LEFT + _PLOT_WIDTH, y, "limit"), _text(_LEFT + 4, y - 5, "limit", "axis limit-name")]
    ends: list[tuple[float, str, str]] = []
    for index, series in enumerate(chart.series):
        if series.points:
            points = [place(x, y) for x, y in series.points]
            colour = f"s{index % 6}"
            parts += _curve(series, points, colour, chart)
            ends.append((points[-1][1], _label(series), colour))
    parts += _end_labels(ends)
    return _svg(_HEIGHT, parts, chart)


def _curve(series: Series, points: Sequence[tuple[float, float]], colour: str, chart: Chart) -> Iterator[str]:
    for piece in _pieces(points):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
        yield f'<polyline class="line {colour}" points="{path}"><title>{escape(series.name)}</title></polyline>'
    if len(points) <= _FEW_POINTS:
        for (x, y), (at, value) in zip(points, series.points, strict=True):
            where = f"{100 * at:.6g} %" if chart.kind is Kind.PERCENTILES else f"{at:.0f} {chart.across}"
            said = escape(f"{series.name}, {where}: {number(float(value))} {chart.unit}")
            yield f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{said}</title></circle>'


def _pieces(points: Sequence[tuple[float, float]]) -> Iterator[Sequence[tuple[float, float]]]:
    """Where nothing was measured for a while, the line breaks."""
    apart = sorted(after[0] - before[0] for before, after in pairwise(points))
    usual = apart[len(apart) // 2] if apart else 0.0
    start = 0
    for at in range(1, len(points)):
        if len(points) > _FEW_POINTS and points[at][0] - points[at - 1][0] > _GAP * usual:
            yield points[start:at]
            start = at
    yield points[start:]


def _label(series: Series) -> str:
    """Name and last value, cut to what fits."""
    value = _short(series.points[-1][1])
    room = _LABEL_LETTERS - len(value) - 1
    name = series.name if len(series.name) <= room else f"{series.name[: room - 1]}…"
    return f"{name} {value}"


def _end_labels(ends: list[tuple[float, str, str]]) -> Iterator[str]:
    """At the lines' ends, from the top down, no two closer than a line of text."""
    ends.sort()
    floor = _TOP + 4.0
    room = _TOP + _PLOT_HEIGHT - _LABEL_APART * len(ends)
    for index, (y, text, colour) in enumerate(ends):
        at = max(floor, min(y + 4, room + _LABEL_APART * (index + 1)))
        floor = at + _LABEL_APART
        x = _LEFT + _PLOT_WIDTH + 8
        yield f'<rect class="key {colour}" x="{x}" y="{at - 8:.1f}" width="8" height="8" rx="2"/>'
        yield _text(x + 13, at, text, "label")


def _marks(chart: Chart, place: object, last: float) -> Iterator[str]:
    """What happened, as a number on a hairline; the words stand under the chart."""
    assert callable(place)
    for index, (at, text) in enumerate(chart.marks, 1):
        if at > last:
            continue
        x, _ = place(at, 0)
        yield f"<g><title>{escape(text)}</title>{_line(x, _TOP - 4, x, _TOP + _PLOT_HEIGHT, 'mark')}"
        yield f'<circle class="mark-dot" cx="{x:.1f}" cy="{_TOP - 10}" r="8"/>'
        yield f"{_text(x, _TOP - 6.5, str(index), 'mark-name mid')}</g>"


def _bars(chart: Chart) -> str:
    most = max([y for series in chart.series for _, y in series.points] + [chart.limit or 0.0]) or 1.0
    wide = _WIDTH - _BAR_LEFT - _BAR_RIGHT
    parts: list[str] = []
    for index, series in enumerate(chart.series):
        values = [y for _, y in series.points]
        if not values:
            continue
        y = 6 + index * _BAR_PITCH
        middle = median(values)
        width = max(2.0, middle / most * wide)
        said = escape(f"{series.name}: {number(float(middle))} {chart.unit}")
        parts.append(_text(_BAR_LEFT - 10, y + 12, series.name, "label end"))
        shape = f'x="{_BAR_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR_HEIGHT}" rx="3"'
        parts.append(f'<rect class="bar s{0 if _is_ours(series.name) else 5}" {shape}><title>{said}</title></rect>')
        low, high = (_BAR_LEFT + bound / most * wide for bound in (min(values), max(values)))
        if len(values) > 1:
            parts.append(_line(low, y + _BAR_HEIGHT / 2, high, y + _BAR_HEIGHT / 2, "range"))
        parts.append(_text(max(high, _BAR_LEFT + width) + 8, y + 12, f"{number(float(middle))} {chart.unit}", "label"))
    if chart.limit is not None:
        x = _BAR_LEFT + chart.limit / most * wide
        parts.append(_line(x, 0, x, len(chart.series) * _BAR_PITCH, "limit"))
    return _svg(len(chart.series) * _BAR_PITCH + 4, parts, chart)


def _is_ours(name: str) -> bool:
    return name.startswith(("streamd", "ours"))


def _nines(share: float) -> float:
    """0 at none, 1 at 90 %, 2 at 99 %: every further step is ten times rarer."""
    return -math.log10(max(_RAREST, 1 - share))


def _identity(x: float) -> float:
    return x


def _rare_ticks(last: float) -> Iterator[tuple[float, str]]:
    for share in (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999):
        if _nines(share) <= last + 1e-9:
            yield _nines(share), f"{100 * share:g} %"


def _plain_ticks(last: float, across: str) -> Iterator[tuple[float, str]]:
    """From zero; minutes when there are many seconds."""
    unit, name = (60, " min") if across == "s" and last > 300 else (1, f" {across}")
    for step in ticks(last / unit, 6):
        if step * unit <= last + 1e-9:
            yield step * unit, f"{_short(step)}{name}".strip()


def _short(value: float) -> str:
    """As few digits as tell one tick from the next."""
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g}k"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _svg(height: float, parts: Sequence[str], chart: Chart) -> str:
    name = escape(f"{chart.title}: {', '.join(series.name for series in chart.series)}", quote=True)
    head = (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{name}" xmlns="http://www.w3.org/2000/svg">'
    )
    return head + "".join(parts) + "</svg>"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
