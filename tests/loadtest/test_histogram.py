"""Percentiles are exact to a tenth of a per cent, add up over processes, and charge a long wait for all who waited."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.histogram import Histogram
from loadtest.report import percentile


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_within_a_thousandth_of_the_true_one(values: list[int], share: float) -> None:
    true = percentile([float(value) for value in values], share)
    assert true <= Histogram.of_us(values).percentile_us(share) <= true * 1.001


@given(st.lists(st.integers(0, 10**7)), st.lists(st.integers(0, 10**7)))
def test_two_histograms_that_travelled_as_json_add_up(one: list[int], other: list[int]) -> None:
    added = Histogram.from_json(json.loads(json.dumps(Histogram.of_us(one).as_json())))
    added.add(Histogram.of_us(other))
    assert added.count == len(one) + len(other)
    assert added.as_json() == Histogram.of_us(one + other).as_json()


def test_one_long_wait_stands_for_all_who_could_not_ask_meanwhile() -> None:
    waits = Histogram()
    for _ in range(99):
        waits.record_paced(1_000, 10_000)
    waits.record_paced(1_000_000, 10_000)  # a second, in which a hundred would have asked
    assert waits.count == 99 + 100
    assert waits.percentile_ms(0.5) == pytest.approx(10, rel=0.01)
    assert waits.percentile_ms(0.9) == pytest.approx(810, rel=0.02)


def test_correcting_afterwards_says_the_same_as_correcting_at_once() -> None:
    at_once, afterwards = Histogram(), Histogram()
    for value in (900, 1_023, 64_000, 250_000):
        at_once.record_paced(value, 5_000)
        afterwards.record(value)
    corrected = afterwards.paced(5_000)
    assert corrected.count == at_once.count
    assert corrected.summary_ms() == pytest.approx(at_once.summary_ms(), rel=0.002)


def test_a_curve_ends_where_there_are_no_more_values_to_say_anything() -> None:
    shares = [share for share, _ in Histogram.of_us(range(100)).curve_ms()]
    assert shares == sorted(shares)
    assert shares[-2:] == [0.99, 0.995]
    assert list(Histogram().curve_ms()) == []


def test_nothing_measured_has_no_percentile_but_no_error_either() -> None:
    assert Histogram().percentile_ms(0.99) == 0.0
    assert Histogram.of_us([-3]).percentile_us(1.0) == 0.0


@given(st.lists(st.integers(0, 10**7)), st.lists(st.integers(0, 10**7)))
def test_what_came_since_a_former_state_is_what_was_recorded_since(before: list[int], after: list[int]) -> None:
    grown = Histogram.of_us(before)
    former = Histogram.from_json(grown.as_json())
    grown.add(Histogram.of_us(after))
    assert grown.since(former).as_json() == Histogram.of_us(after).as_json()
