"""Rates within one process."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.accounts.throttle import Allowance
from streamd.clock import SystemClock
from streamd.cluster.rates import InProcessRates, SharedRates
from streamd.cluster.redis import RedisBus
from tests.support.clock import FakeClock
from tests.support.redis import redis_server


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


async def test_rates_over_redis_are_counted_for_all_and_alone_while_it_is_away() -> None:
    async with redis_server() as server:
        buses = [RedisBus(server.url, clock=SystemClock()) for _ in range(2)]
        first, second = [SharedRates(clock=SystemClock(), shared=bus) for bus in buses]
        wide, narrow = rate("wide", interval_ms=60_000, burst=4), rate("narrow", interval_ms=60_000, burst=2)
        assert [await one.charge([wide, narrow]) for one in (first, second)] == [0, 0]
        waits_ms = [await one.charge([wide, narrow]) for one in (first, second)]
        assert all(59_000 < wait_ms <= 60_000 for wait_ms in waits_ms)
        assert [await second.charge([wide]) for _ in range(2)] == [0, 0], "nothing was charged by what was refused"
        assert await first.charge([wide]) > 0
        reads = [await one.charge([rate("read:x", burst=1)]) for one in (first, second)]
        assert reads == [0, 0], "reading is counted by each"
        await server.stop()
        assert [await one.charge([narrow]) for one in (first, second)] == [0, 0]
        for bus in buses:
            await bus.aclose()


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
