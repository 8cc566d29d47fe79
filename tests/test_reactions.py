"""What one part's facts lead to in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from streamd.errors import UnavailableError
from streamd.live.hub import StreamFact, Turn
from streamd.reactions import Reactions
from streamd.telemetry.log import get_log


class Notices:
    """Rooms that take their time, and one that cannot be told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bool]] = []
        self.book: list[tuple[str, str, int]] = []
        self.heard = asyncio.Condition()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    def hear(self, turn: str, room: str, at_ms: int) -> None:
        self.book.append((turn, room, at_ms))

    async def publish(self, room: str, event: str, payload: Mapping[str, object]) -> int:
        await self.may_go_on.wait()
        if room == "broken":
            raise UnavailableError("the bus is away")
        async with self.heard:
            self.told.append((room, event, bool(payload["on_air"])))
            self.heard.notify_all()
        return len(self.told)

    async def count(self, count: int) -> None:
        async with asyncio.timeout(30), self.heard:
            await self.heard.wait_for(lambda: len(self.told) >= count)


@asynccontextmanager
async def running(notices: Notices) -> AsyncIterator[Reactions]:
    reactions = Reactions(notices=notices, shows=notices, log=get_log("test"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reactions.run())
        yield reactions
        task.cancel()


def fact(room: str, turn: Turn) -> StreamFact:
    return StreamFact(turn=turn, room=room, at_ms=1_800_000_000_000)


async def test_room_hears_whether_its_programme_is_on_air() -> None:
    notices = Notices()
    async with running(notices) as reactions:
        for number, turn in enumerate((Turn.STARTED, Turn.PAUSED, Turn.RESUMED, Turn.ENDED), start=1):
            reactions.on_stream(fact("demo", turn))
            await notices.count(number)
    assert [on_air for _, _, on_air in notices.told] == [True, False, True, False]
    assert {(room, event) for room, event, _ in notices.told} == {("demo", "live")}


async def test_what_happened_meanwhile_is_told_as_it_stands_now() -> None:
    notices = Notices()
    async with running(notices) as reactions:
        notices.may_go_on.clear()
        reactions.on_stream(fact("first", Turn.STARTED))
        await asyncio.sleep(0)
        for turn in (Turn.STARTED, Turn.PAUSED, Turn.RESUMED, Turn.ENDED) * 1_000:
            reactions.on_stream(fact("demo", turn))
        notices.may_go_on.set()
        await notices.count(2)
    assert notices.told == [("first", "live", True), ("demo", "live", False)]


async def test_room_that_cannot_be_told_does_not_keep_others_from_hearing() -> None:
    notices = Notices()
    async with running(notices) as reactions:
        reactions.on_stream(fact("broken", Turn.STARTED))
        reactions.on_stream(fact("demo", Turn.STARTED))
        await notices.count(1)
    assert notices.told == [("demo", "live", True)]


async def test_book_of_shows_hears_what_begins_and_ends_and_of_no_pause() -> None:
    notices = Notices()
    reactions = Reactions(notices=notices, shows=notices, log=get_log("test"))
    for turn in (Turn.STARTED, Turn.PAUSED, Turn.RESUMED, Turn.PAUSED, Turn.ENDED):
        reactions.on_stream(fact("demo", turn))
    assert notices.book == [(word, "demo", 1_800_000_000_000) for word in ("on_air", "on_air", "over")]
