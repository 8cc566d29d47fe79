"""Ninety simulated minutes through ingest's reader, repair, packager and store: what must not drift, does not."""

from __future__ import annotations

import pytest

from loadtest.simulated_day import HOUR_S, TROUBLES, Findings, SimulatedDay

_SECONDS = HOUR_S * 3 // 2


@pytest.fixture(scope="module")
def found() -> Findings:
    return SimulatedDay(seed=7).run(_SECONDS)


def test_every_trouble_happened_and_the_32_bit_wrap_was_crossed(found: Findings) -> None:
    assert set(found.troubles) == {trouble.what for trouble in TROUBLES}
    assert found.wraps >= 1
    assert found.dropped == 0
    assert found.pictures > 29 * (_SECONDS - 20)


def test_sound_stays_within_20_ms_of_the_pictures(found: Findings) -> None:
    assert found.av_error_us < 20_000


def test_programme_date_stays_within_20_ms_of_the_wall_clock(found: Findings) -> None:
    assert found.wall_error_us < 20_000
    assert found.settling_error_us < 100_000


def test_times_and_numbers_only_grow_and_promises_stay(found: Findings) -> None:
    assert found.went_back == 0
    assert len(found.targets) == 1
    assert found.longest_gap_us < 100_000


def test_the_store_holds_its_window_and_no_more(found: Findings) -> None:
    window_bytes = 22 * 30 * 600 + 22 * 48 * 300
    assert max(found.held) < 2 * window_bytes
