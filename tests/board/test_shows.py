"""One row a programme, across pauses, restarts and moves."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.board.shows import CONTINUE_MS, ShowBook
from streamd.db.board_tables import shows
from streamd.telemetry.log import get_log
from tests.board.stage import START_MS, house, rows_of
from tests.support.clock import FakeClock


def book(engine: AsyncEngine, clock: FakeClock) -> ShowBook:
    return ShowBook(engine=engine, clock=clock, log=get_log("test"))


async def told(made: ShowBook, clock: FakeClock, *turns: str, room: str = "demo") -> None:
    for turn in turns:
        made.hear(turn, room, clock.utc_ms())  # type: ignore[arg-type]
    await made.write()


async def times(engine: AsyncEngine) -> list[tuple[Any, Any]]:
    found = [(row.started_at_ms - START_MS, row.ended_at_ms) for row in await rows_of(engine, shows)]
    return [(began, None if ended is None else ended - START_MS) for began, ended in found]


async def test_show_begins_and_ends_with_its_programme(engine: AsyncEngine) -> None:
    await house(engine)
    clock = FakeClock(utc_ms=START_MS)
    made = book(engine, clock)
    await told(made, clock, "on_air")
    await told(made, clock, "on_air", room="other")
    clock.advance(60_000)
    await told(made, clock, "over")
    assert await times(engine) == [(0, 60_000), (0, None)]
    assert made.changed.is_set()
    clock.advance(1_000)
    await told(made, clock, "on_air")
    assert (await times(engine))[2] == (61_000, None)
    assert next(row.title for row in await rows_of(engine, shows)) == "The demo show"


async def test_pause_does_not_begin_another(engine: AsyncEngine) -> None:
    await house(engine)
    clock = FakeClock(utc_ms=START_MS)
    made = book(engine, clock)
    for _ in range(3):
        await told(made, clock, "on_air")
        clock.advance(30_000)
    assert await times(engine) == [(0, None)]


async def test_restart_goes_on_with_the_show_that_ran(engine: AsyncEngine) -> None:
    await house(engine)
    clock = FakeClock(utc_ms=START_MS)
    await told(book(engine, clock), clock, "on_air")
    clock.advance(CONTINUE_MS)
    again = book(engine, clock)
    await told(again, clock, "on_air")
    assert await times(engine) == [(0, None)]
    clock.advance(5_000)
    await told(again, clock, "over")
    assert await times(engine) == [(0, CONTINUE_MS + 5_000)]


async def test_process_that_gave_the_programme_away_does_not_end_it(engine: AsyncEngine) -> None:
    await house(engine)
    clock = FakeClock(utc_ms=START_MS)
    old, new = book(engine, clock), book(engine, clock)
    await told(old, clock, "on_air")
    await told(new, clock, "on_air")
    clock.advance(45_000)
    await told(old, clock, "over")
    assert await times(engine) == [(0, None)]
    await told(new, clock, "over")
    assert await times(engine) == [(0, 45_000)]


async def test_show_whose_process_died_for_good_ends_when_it_was_last_seen(engine: AsyncEngine) -> None:
    await house(engine)
    clock = FakeClock(utc_ms=START_MS)
    dead = book(engine, clock)
    await told(dead, clock, "on_air")
    clock.advance(7_000)
    await dead.write()
    clock.advance(CONTINUE_MS + 1)
    await book(engine, clock).write()
    assert await times(engine) == [(0, 7_000)]


async def test_programme_that_comes_back_after_long_is_another_one(engine: AsyncEngine) -> None:
    await house(engine)
    clock = FakeClock(utc_ms=START_MS)
    await told(book(engine, clock), clock, "on_air")
    clock.advance(CONTINUE_MS + 1)
    await told(book(engine, clock), clock, "on_air")
    assert await times(engine) == [(0, 0), (CONTINUE_MS + 1, None)]


async def test_room_that_nobody_knows_has_no_shows(engine: AsyncEngine) -> None:
    clock = FakeClock(utc_ms=START_MS)
    await told(book(engine, clock), clock, "on_air", "over")
    assert await times(engine) == []


async def test_what_is_heard_is_written_at_once(engine: AsyncEngine) -> None:
    await house(engine)
    made = book(engine, FakeClock(utc_ms=START_MS))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run())
        made.hear("on_air", "demo", START_MS)
        async with asyncio.timeout(30):
            await made.changed.wait()
        task.cancel()
    assert await times(engine) == [(0, None)]
