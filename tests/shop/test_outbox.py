"""Facts reach their rooms: all of them, in order, at least once, whoever tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.clock import Clock, SystemClock
from streamd.db.engine import open_engine
from streamd.db.shop_tables import leases, outbox
from streamd.errors import NotFoundError, UnavailableError
from streamd.shop.outbox import Outbox
from streamd.telemetry.log import get_log
from tests.support.clock import FakeClock


class Rooms:
    """Hear, unless they are told not to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, object]]] = []
        self.keys: list[str] = []
        self.deaf: set[str] = set()
        self.gone: set[str] = set()
        self.news = asyncio.Condition()

    async def publish(self, room: str, event: str, payload: Mapping[str, object], *, key: str = "") -> int:
        await asyncio.sleep(0)
        if room in self.gone:
            raise NotFoundError("no such room")
        if room in self.deaf:
            raise UnavailableError("the rooms are not running")
        async with self.news:
            self.heard.append((room, event, dict(payload)))
            self.keys.append(key)
            self.news.notify_all()
        return len(self.heard)

    def counts(self, room: str) -> list[object]:
        return [payload["count"] for name, _, payload in self.heard if name == room]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(lambda: len(self.heard) >= count)


def outbox_of(engine: AsyncEngine, rooms: Rooms, clock: Clock | None = None) -> Outbox:
    return Outbox(engine=engine, clock=clock or FakeClock(), rooms=rooms, log=get_log("test"))


async def put(engine: AsyncEngine, box: Outbox, count: int, *, room: str = "demo", event: str = "order") -> None:
    async with engine.begin() as connection:
        await box.add(connection, room=room, event=event, payload={"id": "p1", "count": count})


@asynccontextmanager
async def running(*boxes: Outbox) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(box.run()) for box in boxes]
        yield
        for task in tasks:
            task.cancel()


async def untold(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return len((await connection.execute(select(outbox.c.id).where(outbox.c.told_at_ms == 0))).all())


async def drain(box: Outbox) -> None:
    """Rounds until nothing is left; the first one makes the lease."""
    while await box.tell_round() < 1:
        pass


async def test_fact_of_a_transaction_that_failed_is_never_told(engine: AsyncEngine) -> None:
    rooms = Rooms()
    box = outbox_of(engine, rooms)
    async with engine.connect() as connection:
        await box.add(connection, room="demo", event="order", payload={"count": 1})
        await connection.rollback()
    await put(engine, box, 2)
    await drain(box)
    assert rooms.counts("demo") == [2]


async def test_facts_are_told_in_order_and_marked(engine: AsyncEngine) -> None:
    rooms = Rooms()
    box = outbox_of(engine, rooms)
    for number in range(30):
        await put(engine, box, number, room=("demo", "other")[number % 2])
    await drain(box)
    assert rooms.counts("demo") == list(range(0, 30, 2))
    assert rooms.counts("other") == list(range(1, 30, 2))
    assert await untold(engine) == 0
    await drain(box)
    assert len(rooms.heard) == 30


async def test_what_was_told_and_not_marked_is_told_again_under_its_own_number(engine: AsyncEngine) -> None:
    rooms = Rooms()
    box = outbox_of(engine, rooms)
    await put(engine, box, 1)
    await drain(box)
    async with engine.begin() as connection:  # as if the process had died before the mark
        await connection.execute(outbox.update().values(told_at_ms=0))
    await drain(outbox_of(engine, rooms))
    first, again = (payload["event_id"] for _, _, payload in rooms.heard)
    assert first == again


async def test_facts_that_say_how_something_stands_share_a_key(engine: AsyncEngine) -> None:
    rooms = Rooms()
    box = outbox_of(engine, rooms)
    for event in ("product", "order"):
        await put(engine, box, 1, event=event)
    await drain(box)
    assert rooms.keys == ["product:p1", ""]


async def test_room_that_is_away_hears_later_and_keeps_nobody_waiting(engine: AsyncEngine) -> None:
    rooms = Rooms()
    rooms.deaf.add("demo")
    box = outbox_of(engine, rooms)
    for number in range(4):
        await put(engine, box, number)
    await put(engine, box, 9, room="other")
    for _ in range(3):
        await box.tell_round()
    assert rooms.counts("other") == [9]
    rooms.deaf.clear()
    await drain(box)
    assert rooms.counts("demo") == [0, 1, 2, 3]
    assert await untold(engine) == 0


async def test_room_that_is_gone_blocks_nothing(engine: AsyncEngine) -> None:
    rooms = Rooms()
    rooms.gone.add("demo")
    box = outbox_of(engine, rooms)
    await put(engine, box, 1)
    await put(engine, box, 2, room="other")
    await drain(box)
    assert (rooms.counts("other"), await untold(engine)) == ([2], 0)


async def test_process_that_died_with_the_turn_gives_it_up_after_a_while(engine: AsyncEngine) -> None:
    rooms, clock = Rooms(), FakeClock()
    async with engine.begin() as connection:
        until_ms = clock.utc_ms() + 6_000
        await connection.execute(leases.insert().values(name="outbox", holder="dead", until_ms=until_ms))
    box = outbox_of(engine, rooms, clock)
    await put(engine, box, 1)
    for _ in range(3):
        await box.tell_round()
    assert rooms.heard == []
    clock.advance(6_000)
    await drain(box)
    assert rooms.counts("demo") == [1]


async def test_two_processes_tell_everything_once_and_in_order(engine: AsyncEngine, database_url: str) -> None:
    rooms = Rooms()
    other = open_engine(database_url)
    boxes = [outbox_of(each, rooms, SystemClock()) for each in (engine, other)]
    try:
        async with running(*boxes):
            for number in range(60):
                await put(engine, boxes[0], number)
                boxes[number % 2].wake()
            await rooms.until(60)
        assert rooms.counts("demo") == list(range(60))
    finally:
        await other.dispose()


async def test_fact_is_told_at_once_when_its_writer_says_so(engine: AsyncEngine) -> None:
    rooms = Rooms()
    box = outbox_of(engine, rooms, SystemClock())
    loop = asyncio.get_running_loop()
    async with running(box):
        await put(engine, box, 0)
        box.wake()
        await rooms.until(1)
        waited_s = []
        for number in range(1, 20):
            await put(engine, box, number)
            began_s = loop.time()
            box.wake()
            await rooms.until(number + 1)
            waited_s.append(loop.time() - began_s)
    # Far below the look that is taken once a second anyway; the median, for the machine may be busy.
    assert sorted(waited_s)[len(waited_s) // 2] < 0.1
