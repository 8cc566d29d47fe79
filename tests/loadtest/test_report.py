"""A report says what was measured, against which target, and whether it was met."""

from __future__ import annotations

import pytest

from loadtest.report import Figure, Report, Table, number, percentile, sampled


def report() -> Report:
    return Report(
        scenario="ingest",
        title="Ingest",
        command="python -m loadtest ingest",
        figures=(
            sampled("ratio", [0.8, 1.0, 0.7], most=0.9),
            Figure(name="stalls", value=3, most=0),
            Figure(name="rate", value=12_345.6, unit="a second"),
        ),
        tables=(Table(title="Memory", columns=("server", "MiB"), rows=(("ours", 81.257),)),),
        notes=("on loopback",),
        errors=("one viewer was cut off",),
    )


def test_a_median_stands_with_its_range_and_its_verdict() -> None:
    text = report().text()
    assert "0.800 (0.700 to 1.000)" in text
    assert "≤ 0.900" in text
    assert "holds" in text
    assert "MISSED" in text
    assert "12,346" in text
    assert "81.26" in text


def test_markdown_has_the_command_the_tables_and_the_errors() -> None:
    text = report().markdown()
    assert text.startswith("## Ingest\n\n`python -m loadtest ingest`")
    assert "| ratio | 0.800 (0.700 to 1.000) |" in text
    assert "**Error:** one viewer was cut off" in text


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentiles_are_values_that_were_measured(share: float, expected: int) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], share) == expected


def test_figures_without_a_target_have_no_verdict() -> None:
    assert Figure(name="x", value=1.0).holds is None
    assert Figure(name="x", value=1.0, least=1.0).holds is True
    assert number(0.01234) == "0.012"
