"""Turns wait for each other, briefly, and are done back to back. Told by publishers' bytes."""

from __future__ import annotations

import asyncio

from rtmp_ingest.turn import Turn
from streamd.rounds import Rounds


class House:
    """Some publishers, and what they were handed in which order."""

    def __init__(self, *names: str) -> None:
        self.rounds = Rounds(each_ms=1, longest_ms=60)
        self.handled: list[tuple[str, bytes]] = []
        self.turns = {name: self._enter(name) for name in names}

    def _enter(self, name: str) -> Turn:
        self.rounds.enter()
        return Turn(self.rounds, lambda data: self.handled.append((name, data)))


async def within(house: House, count: int) -> float:
    """Seconds until so many pieces were handled."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(30):
        while len(house.handled) < count:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.001)
    return asyncio.get_running_loop().time() - began


async def test_those_who_send_before_the_round_begins_are_handled_in_it_each_once_and_whole() -> None:
    house = House("a", "b", "c")
    assert house.turns["b"].add(b"12") == 2
    assert house.turns["a"].add(b"x") == 1
    assert house.turns["b"].add(b"345") == 5
    assert house.handled == []
    await within(house, 2)
    assert house.handled == [("b", b"12345"), ("a", b"x")]
    house.turns["c"].add(b"later")
    await within(house, 3)
    assert house.handled[2:] == [("c", b"later")]


async def test_a_round_waits_for_a_crowd_and_hardly_for_one() -> None:
    alone, crowd = House("a"), House(*(f"p{number}" for number in range(1_000)))
    alone.turns["a"].add(b"1")
    crowd.turns["p0"].add(b"1")
    await within(alone, 1)
    assert crowd.handled == []  # so the order of the two is what is tested, not the machine's speed
    assert await within(crowd, 1) < 1  # however many there are


async def test_who_leaves_is_not_waited_for() -> None:
    house = House(*(f"p{number}" for number in range(1_000)))
    for _ in range(999):
        house.rounds.leave()
    crowd = House(*(f"p{number}" for number in range(1_000)))
    crowd.turns["p0"].add(b"1")
    house.turns["p0"].add(b"1")
    await within(house, 1)
    assert crowd.handled == []


async def test_a_hurried_round_takes_everybody_at_once_and_once() -> None:
    house = House(*(f"p{number}" for number in range(1_000)))
    house.turns["p1"].add(b"1")
    house.turns["p2"].add(b"2")
    house.rounds.hurry()
    house.rounds.hurry()
    assert house.handled == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert house.handled == [("p1", b"1"), ("p2", b"2")]
    house.rounds.begin()
    assert len(house.handled) == 2


async def test_who_takes_its_turn_early_is_left_out_of_the_round() -> None:
    house = House("a", "b")
    house.turns["a"].add(b"1")
    house.turns["b"].add(b"2")
    house.turns["a"].take()
    assert house.handled == [("a", b"1")]
    await within(house, 2)
    assert house.handled == [("a", b"1"), ("b", b"2")]
