"""Rates within one process."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.accounts.throttle import Allowance
from streamd.cluster.rates import InProcessRates
from tests.support.clock import FakeClock


def rate(name: str = "a", *, interval_ms: int = 1_000, burst: int = 3) -> Allowance:
    return Allowance(name=name, interval_ms=interval_ms, burst=burst)


async def test_burst_is_let_through_and_then_one_an_interval() -> None:
    clock = FakeClock()
    rates = InProcessRates(clock=clock)
    assert [await rates.charge([rate()]) for _ in range(4)] == [0, 0, 0, 1_000]
    clock.advance(999)
    assert await rates.charge([rate()]) == 1
    clock.advance(1)
    assert [await rates.charge([rate()]) for _ in range(2)] == [0, 1_000]


async def test_several_are_charged_together_or_not_at_all() -> None:
    rates = InProcessRates(clock=FakeClock())
    wide, narrow = rate("wide", burst=2), rate("narrow", burst=1)
    assert await rates.charge([wide, narrow]) == 0
    for _ in range(5):
        assert await rates.charge([wide, narrow]) == 1_000
    assert await rates.charge([wide]) == 0, "what was refused for another reason was not charged"


async def test_table_is_bounded_and_forgets_the_least_lately_charged() -> None:
    rates = InProcessRates(clock=FakeClock(), limit_count=2)
    for name in ("a", "b", "a", "c"):
        await rates.charge([rate(name, burst=2)])
    assert await rates.charge([rate("a", burst=2)]) > 0
    assert await rates.charge([rate("b", burst=2)]) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=60), st.integers(1, 1_000), st.integers(1, 8))
async def test_never_more_than_the_burst_and_one_an_interval(waits_ms: list[int], interval_ms: int, burst: int) -> None:
    clock = FakeClock()
    rates = InProcessRates(clock=clock)
    began_ms = clock.now_ms()
    allowed = 0
    for wait_ms in waits_ms:
        clock.advance(wait_ms)
        allowed += await rates.charge([rate(interval_ms=interval_ms, burst=burst)]) == 0
        assert allowed <= burst + (clock.now_ms() - began_ms) // interval_ms
