"""One line, a bus that answers as the test says: order, repair, and the way out into loneliness and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from danmaku.conduct import Identity
from danmaku.fanout import Member
from danmaku.pace import Pace
from danmaku.room import Entry, Room
from danmaku.sequencer import Line
from danmaku.tick import encode_rest
from streamd.clock import SystemClock
from streamd.cluster.bus import INTERNAL, A, B, Batch, C, Draft, Pulse
from streamd.cluster.in_process import InProcessBus
from streamd.errors import UnavailableError
from tests.danmaku.test_fanout import FakeLink, packets_of


class MoodyBus(InProcessBus):
    """In-process, but deaf, mute or late on demand."""

    def __init__(self) -> None:
        super().__init__(clock=SystemClock())
        self.is_away = False
        self.loses_answers = False
        self.holds: list[tuple[Callable[[Batch], None], Batch]] | None = None
        self.hears: dict[Callable[[Batch], None], Callable[[Batch], None]] = {}

    async def append(self, room: str, drafts: Sequence[Draft], **kwargs: Any) -> Batch:
        self._check()
        batch = await super().append(room, drafts, **kwargs)
        if self.loses_answers:
            raise UnavailableError("the answer was lost")
        return batch

    async def replay(self, room: str, **kwargs: Any) -> tuple[Batch, ...] | None:
        self._check()
        return await super().replay(room, **kwargs)

    async def recall(self, room: str) -> Any:
        self._check()
        return await super().recall(room)

    async def listen(self, room: str, deliver: Callable[[Batch], None]) -> None:
        def hear(batch: Batch) -> None:
            if self.holds is not None:
                self.holds.append((deliver, batch))
            elif not self.is_away:
                deliver(batch)

        await super().listen(room, hear)
        self._check()

    def _check(self) -> None:
        if self.is_away:
            raise UnavailableError("away")

    def ready(self) -> bool:
        return not self.is_away


class Node:
    """A line with one member, and what it told its owner."""

    def __init__(self, bus: MoodyBus, name: str, group: asyncio.TaskGroup) -> None:
        self.internal: list[Entry] = []
        self.states: list[Draft] = []
        self.positions: list[tuple[str, int, bool]] = []
        count = iter(range(1, 10_000))
        spawn: Callable[[Coroutine[Any, Any, None]], object] = group.create_task
        self.line = Line(
            Room("demo"),
            bus=bus,
            clock=SystemClock(),
            spawn=spawn,
            next_batch_id=lambda: f"{name}:{next(count)}",
            owner=self,
            pace=Pace(short_ms=1, long_ms=2, crowd_ms=3, precious_ms=0),
        )
        self.link = FakeLink()
        self.line.audience.add(Member(self.link, Identity(id="u", name="u"), ""))

    def on_internal(self, line: Line, entry: Entry) -> None:
        self.internal.append(entry)

    def on_state(self, line: Line, draft: Draft) -> None:
        self.states.append(draft)

    def on_position(self, line: Line, *, after_seq: int, recovered: bool) -> None:
        self.positions.append((line.room.epoch, after_seq, recovered))

    async def say(self, n: int, *, cls: int = A, flags: int = 0, event: str = "notice") -> int:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        payload = {"n": n}
        draft = Draft(cls, event, encode_rest(payload), flags=flags)
        self.line.submit_event(draft, payload, waiter=lambda seq, _: told.set_result(seq))
        return await asyncio.wait_for(told, 30)

    def heard(self) -> list[tuple[int, int]]:
        events = [json.loads(packet[2:]) for packet in packets_of(self.link.written) if packet.startswith(b"42")]
        return [(payload["seq"], payload["n"]) for name, payload in events if name == "notice"]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0.001)


async def test_batches_heard_out_of_order_and_twice_are_applied_in_order_and_once() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one, two = Node(bus, "one", group), Node(bus, "two", group)
        await one.line.open()
        await two.line.open()
        bus.holds = []
        for n in range(6):
            await one.say(n)
        held, bus.holds = bus.holds, None
        for deliver, batch in [*reversed(held), *held]:
            deliver(batch)
        await settle()
        assert one.heard() == two.heard() == [(n + 1, n) for n in range(6)]


async def test_missing_batch_is_fetched_from_the_log() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one, two = Node(bus, "one", group), Node(bus, "two", group)
        await one.line.open()
        await two.line.open()
        bus.holds = []
        await one.say(0)
        await one.say(1)
        bus.holds = None
        await one.say(2)
        await asyncio.sleep(0.15)
        assert two.heard() == [(1, 0), (2, 1), (3, 2)]
        assert two.line.repairs == 1


async def test_deaf_node_notices_by_the_counts_that_it_is_behind() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one, two = Node(bus, "one", group), Node(bus, "two", group)
        await one.line.open()
        await two.line.open()
        bus.holds = []
        await one.say(0)
        for _ in range(2):
            two.line.take_pulse(Pulse(two.line.room.epoch, 1, 2, 2, 0, 0, 2))
        await asyncio.sleep(0.15)
        assert two.heard() == [(1, 0)]


async def test_number_that_is_answered_was_told_here_before() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one = Node(bus, "one", group)
        await one.line.open()
        bus.holds = []  # publications are late; the answer of the bus is enough
        assert await one.say(7) == 1
        assert one.heard() == [(1, 7)]


async def test_internal_event_comes_to_the_owner_behind_what_was_told() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one = Node(bus, "one", group)
        await one.line.open()
        await one.say(1)
        await one.say(2, flags=INTERNAL, event="chat")
        assert [entry.draft.event for entry in one.internal] == ["chat"]
        assert one.heard() == [(1, 1)]


@pytest.mark.parametrize("loses_answers", [False, True])
async def test_alone_and_back_nothing_is_lost_or_told_twice(loses_answers: bool) -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one, two = Node(bus, "one", group), Node(bus, "two", group)
        await one.line.open()
        await two.line.open()
        await one.say(0)
        epoch = one.line.room.epoch
        if loses_answers:
            # Numbered and published, but the publisher was not told: the worst moment to break.
            bus.loses_answers = True
            await one.say(1)
            bus.loses_answers = False
        bus.is_away = True
        await one.say(2)
        await two.say(100)
        assert one.line.is_alone
        assert two.line.is_alone
        assert one.positions[0][0].startswith("alone-")
        bus.is_away = False
        one.line.rejoin_soon()
        await settle()
        two.line.rejoin_soon()
        await settle()
        await one.say(3)
        await two.say(101)
        everything = [0, *([1] if loses_answers else []), 2, 3, 100, 101]
        assert sorted(n for _, n in one.heard()) == everything
        assert sorted(n for _, n in two.heard()) == everything
        assert one.line.room.epoch == two.line.room.epoch == epoch
        assert one.line.room.seq == two.line.room.seq
        assert one.positions[-1][0] == epoch
        assert one.positions[-1][2] is True


async def test_room_opened_while_the_bus_is_away_joins_the_others_later() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one, two = Node(bus, "one", group), Node(bus, "two", group)
        await one.line.open()
        await one.say(0)
        bus.is_away = True
        await two.line.open()
        assert two.line.is_alone
        assert await two.say(50) == 1
        bus.is_away = False
        two.line.rejoin_soon()
        await settle()
        assert two.line.room.epoch == one.line.room.epoch
        assert [n for _, n in one.heard()] == [0, 50]
        await one.say(1)
        assert [n for _, n in two.heard()] == [50, 1]
        assert two.positions[-1][2] is False


async def test_bus_that_lost_its_memory_gets_the_state_back() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one = Node(bus, "one", group)
        await one.line.open()
        payload = {"product": {"id": 1}}
        told = asyncio.get_running_loop().create_future()
        card = Draft(A, "card", encode_rest(payload), "card", 1)
        one.line.submit_event(card, payload, waiter=lambda seq, _: told.set_result(seq))
        await told
        bus.is_away = True
        await one.say(1)
        bus._rooms.clear()
        bus.is_away = False
        one.line.rejoin_soon()
        await settle()
        assert (await bus.recall("demo")).state["card"].draft == card
        assert one.line.room.state["card"].draft == card
        assert not one.line.is_alone


@pytest.mark.parametrize("speaks", [True, False])
async def test_bus_that_lost_its_memory_brings_what_others_said_meanwhile_once(speaks: bool) -> None:
    """Also to a node where nobody spoke, which did not notice that the bus was away."""
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one, two = Node(bus, "one", group), Node(bus, "two", group)
        await one.line.open()
        await two.line.open()
        await one.say(0)
        await settle()
        bus.is_away = True
        await one.say(1)
        await one.say(2)
        if speaks:
            await two.say(100)
        bus._rooms.clear()
        bus.is_away = False
        bus.holds = []  # what is published while they come back is heard later
        one.line.rejoin_soon()
        await settle()
        two.line.rejoin_soon()
        await settle()
        for deliver, batch in bus.holds:
            deliver(batch)
        bus.holds = None
        await settle()
        await one.say(3)
        await settle()
        assert one.line.room.epoch == two.line.room.epoch
        assert [n for _, n in one.heard()] == [0, 1, 2, *([100] if speaks else []), 3]
        assert [n for _, n in two.heard()] == [0, *([100] if speaks else []), 1, 2, 3]
        assert two.positions[-1][2] is False


async def test_long_time_without_the_bus_is_bounded_and_keeps_facts_longer_than_chatter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("danmaku.alone._MAX_BATCHES", 4)
    monkeypatch.setattr("danmaku.alone._MAX_PRECIOUS", 6)
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one, two = Node(bus, "one", group), Node(bus, "two", group)
        await one.line.open()
        await two.line.open()
        bus.is_away = True
        for n in range(10):
            await one.say(n, cls=(C, A, C, B)[n % 4])
        bus.is_away = False
        one.line.rejoin_soon()
        await settle()
        await one.say(10)
        await settle()
        assert [n for _, n in one.heard()] == list(range(11))
        assert [n for _, n in two.heard()] == [0, 1, 2, 3, 5, 7, 10]


async def test_quiet_room_is_told_at_once_and_a_busy_one_in_ticks() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one = Node(bus, "one", group)
        await one.line.open()
        one.line._pace = Pace(short_ms=40, long_ms=40, rush_ms=40)
        numbers: list[int] = []
        for n in range(200):
            payload = {"n": n}
            draft = Draft(C, "danmaku", encode_rest(payload))
            one.line.submit_danmaku(draft, sender=str(n), waiter=lambda seq, _: numbers.append(seq))
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.1)
        assert sorted(numbers) == list(range(1, 201))
        assert len(one.link.writes) < 140


async def test_what_many_nodes_say_in_a_busy_room_is_written_once_an_interval_and_class_a_at_once() -> None:
    async with asyncio.TaskGroup() as group:
        bus = MoodyBus()
        one = Node(bus, "one", group)
        await one.line.open()
        one.line._pace = Pace(quiet_per_s=0, short_ms=60, long_ms=60, rush_ms=60)

        async def elsewhere(number: int, cls: int) -> None:
            draft = Draft(cls, "notice", encode_rest({"n": number}))
            await bus.append("demo", [draft], taken=1, batch_id=f"{number % 7}:{number}", min_seq=0, at_ms=0)

        for number in range(100):
            await elsewhere(number, C)
            await asyncio.sleep(0.003)
        assert len(one.link.writes) < 20
        told = len(one.heard())
        await elsewhere(100, A)
        assert one.heard() == [(n + 1, n) for n in range(101)], told
        await elsewhere(101, C)
        assert await one.say(102, cls=C) == 103
        assert one.heard() == [(n + 1, n) for n in range(103)]
        assert one.line.repairs == 0


def test_pace_grows_with_rate_and_crowd_and_never_beats_the_writing() -> None:
    pace = Pace()
    assert pace.interval_ms(0, 10) == 0
    assert pace.interval_ms(4, 1_000) == 20
    assert pace.interval_ms(10, 100) == 50
    assert pace.interval_ms(30, 100) == 100
    assert pace.interval_ms(100, 100) == 150
    assert pace.interval_ms(100, 6_000) == 200
    assert pace.precious_interval_ms(100) == 20
    assert pace.precious_interval_ms(10_000) == 100
