"""The bounded memory of answers."""

from __future__ import annotations

from streamd.accounts.recent import Recent
from tests.support.clock import FakeClock


def test_answer_is_kept_for_its_time_and_not_longer() -> None:
    clock = FakeClock()
    recent: Recent[str, bool] = Recent(clock=clock, keep_ms=1_000, limit_count=10)
    recent.put("a", False)
    clock.advance(999)
    assert recent.get("a") is False
    clock.advance(1)
    assert recent.get("a") is None
    assert len(recent) == 0


def test_memory_stays_bounded_and_the_oldest_goes() -> None:
    recent: Recent[int, int] = Recent(clock=FakeClock(), keep_ms=1_000, limit_count=100)
    for number in range(10_000):
        recent.put(number, number)
    assert len(recent) == 100
    assert (recent.get(9_899), recent.get(9_900)) == (None, 9_900)


def test_answer_given_again_is_new_again() -> None:
    recent: Recent[str, int] = Recent(clock=FakeClock(), keep_ms=1_000, limit_count=2)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.put("a", 3)
    recent.put("c", 4)
    assert [recent.get(name) for name in "abc"] == [3, None, 4]
    recent.forget("a")
    assert recent.get("a") is None
