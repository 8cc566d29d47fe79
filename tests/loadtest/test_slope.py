"""Growth is told from noise: outliers do not bend the line, and what may be chance is not called growth."""

from __future__ import annotations

import random

import pytest

from loadtest.slope import drift


def readings(*, slope_per_s: float, noise: float, count: int = 120, seed: int = 7) -> list[tuple[float, float]]:
    """Every two seconds, around 200."""
    chance = random.Random(seed)
    return [(2.0 * at, 200 + slope_per_s * 2 * at + chance.gauss(0, noise)) for at in range(count)]


def test_a_leak_under_noise_is_found_and_measured() -> None:
    found = drift(readings(slope_per_s=0.1, noise=5))
    assert found.per_hour == pytest.approx(360, rel=0.15)
    assert found.whole == pytest.approx(24, rel=0.15)
    assert not found.is_flat(allowed=10)
    assert found.is_flat(allowed=40)


def test_noise_alone_is_flat() -> None:
    assert drift(readings(slope_per_s=0, noise=20)).is_flat(allowed=0.5)


def test_what_falls_is_flat() -> None:
    found = drift(readings(slope_per_s=-1, noise=2))
    assert found.whole < -100
    assert found.is_flat(allowed=0)


def test_outliers_do_not_bend_the_line() -> None:
    points = readings(slope_per_s=0, noise=1)
    bent = [(at, value + (900 if at > 200 and at % 20 == 0 else 0)) for at, value in points]
    assert abs(drift(bent).whole) < 2


def test_readings_that_are_all_alike_have_no_trend() -> None:
    found = drift([(float(at), 12.0) for at in range(50)])
    assert (found.whole, found.chance) == (0.0, 1.0)


def test_an_hour_of_readings_is_judged_like_its_medians() -> None:
    points = readings(slope_per_s=0.01, noise=3, count=1_800)
    assert drift(points).whole == pytest.approx(36, rel=0.1)
