"""How often and how soon a job is tried again."""

from __future__ import annotations

import pytest

from streamd.errors import InvalidError, LimitedError, UnavailableError
from streamd.jobs.patience import pause_ms, reason


def test_what_passes_by_itself_is_tried_for_about_a_day() -> None:
    waits = [pause_ms(UnavailableError("away"), attempt) for attempt in range(1, 301)]
    assert waits[:4] == [1_000, 2_000, 4_000, 8_000]
    assert waits[-1] is None
    assert max(wait for wait in waits if wait is not None) == 300_000
    assert 20 < sum(wait for wait in waits if wait is not None) / 3_600_000 < 30


def test_what_does_not_pass_is_tried_a_few_times() -> None:
    assert [pause_ms(ValueError("bad"), attempt) for attempt in range(1, 5)] == [5_000, 30_000, 180_000, None]
    assert pause_ms(InvalidError("bad"), 4) is None


@pytest.mark.parametrize("error", [OSError("network"), TimeoutError(), LimitedError("slow", retry_after_ms=10)])
def test_network_time_and_limits_are_what_passes(error: Exception) -> None:
    assert pause_ms(error, 4) == 8_000


def test_who_says_when_is_not_asked_before() -> None:
    assert pause_ms(LimitedError("slow", retry_after_ms=60_000), 1) == 60_000


def test_reason_names_the_kind_and_fits_its_column() -> None:
    assert reason(UnavailableError("away", fix="wait")) == "UnavailableError: away. Fix: wait"
    assert len(reason(ValueError("x" * 2_000))) == 500
