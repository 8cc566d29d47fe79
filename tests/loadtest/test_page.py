"""Charts and page: everything inside one file, every figure with its target, the command above the numbers."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from loadtest.charts import Chart, bars, lines, percentiles
from loadtest.drawing import draw, ticks
from loadtest.histogram import Histogram
from loadtest.machine import describe
from loadtest.page import render
from loadtest.report import Figure, Report, Table

CHARTS = [
    percentiles("Waits", {"card": Histogram.of_us(range(0, 90_000, 7)), "danmaku": Histogram.of_us([5_000])}),
    bars("CPU", "ms", {"streamd": [1.0, 2.0, 3.0], "peer <b>": [4.0]}),
    lines("Memory", "MiB", {"streamd": [(0, 10), (1, 12), (2, 11)], "nginx": [(0, 3.0)]}),
]


def a_report() -> Report:
    return Report(
        scenario="rooms",
        title="A <crowd>",
        command="python -m loadtest rooms",
        circumstances="Measured today, on this machine.",
        figures=(Figure(name="p99", value=12.0, unit="ms", most=10.0), Figure(name="rate", value=5.0, least=2.0)),
        tables=(Table(title="Long", columns=("n", "word"), rows=tuple((n, "x") for n in range(40))),),
        charts=tuple(CHARTS),
        errors=("one was cut off",),
    )


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.kind)
def test_a_chart_is_well_formed_and_names_its_series(chart: Chart) -> None:
    drawing = ElementTree.fromstring(draw(chart))
    said = " ".join(drawing.itertext())
    assert all(series.name in said for series in chart.series)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.kind)
def test_a_chart_comes_back_from_json_as_it_was(chart: Chart) -> None:
    assert Chart.from_dict(json.loads(json.dumps(asdict(chart)))) == chart


def test_a_chart_of_nothing_says_so() -> None:
    assert "nothing was measured" in draw(lines("Empty", "s", {"streamd": []}))


def test_labels_of_lines_that_end_together_do_not_meet() -> None:
    text = draw(lines("Same", "%", {f"process {index}": [(0, 5.0), (9, 5.0)] for index in range(6)}))
    heights = sorted(float(y) for y in re.findall(r'class="label" x="[\d.]+" y="([\d.]+)"', text))
    assert len(heights) == 6
    assert all(after - before >= 13.9 for before, after in pairwise(heights))


@pytest.mark.parametrize(
    ("most", "steps"), [(10, [0, 5, 10]), (93, [0, 50, 100]), (0.7, [0, 0.2, 0.4, 0.6, 0.8]), (0, [0, 1])]
)
def test_ticks_are_round_numbers_that_hold_everything(most: float, steps: list[float]) -> None:
    assert ticks(most) == pytest.approx(steps)


def test_the_page_needs_nothing_beside_it_and_runs_no_script() -> None:
    page = render([a_report()], title="Load", subtitle="here")
    assert not re.search(r"<script|<link|<img|@import|url\(|src=", page)
    assert "A &lt;crowd&gt;" in page
    assert "peer &lt;b&gt;" in page


def test_the_command_and_the_machine_stand_above_the_numbers() -> None:
    page = render([a_report()], title="Load", subtitle="here")
    places = [page.index(text) for text in ("python -m loadtest rooms", "on this machine", 'class="figures"')]
    assert places == sorted(places)


def test_missed_targets_and_errors_are_counted_at_the_top() -> None:
    top = render([a_report()], title="Load", subtitle="here").partition("<section")[0]
    assert "1 of 2" in top
    assert "Errors" in top


def test_a_report_comes_back_from_json_with_all_that_it_said() -> None:
    report = a_report()
    back = Report.from_dict(json.loads(json.dumps(report.as_dict(describe()))))
    assert back == report
