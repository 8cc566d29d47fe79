"""The demo's audience speaks while somebody watches, and only then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from danmaku.conduct import Identity
from streamd import demo, demo_audience
from streamd.telemetry.log import get_log
from tests.support.accounts import accounts_over
from tests.support.clock import FakeClock


@dataclass
class Presence:
    members_here: int


@dataclass
class House:
    present: Presence | None
    said: list[tuple[str, str]] = field(default_factory=list)

    def room_stats(self, room: str) -> Presence | None:
        assert room == demo.ROOM
        return self.present

    async def say(self, room: str, person: Identity, text: str) -> None:
        assert room == demo.ROOM
        assert text
        self.said.append((person.name, person.role))


async def listen(house: House, engine: AsyncEngine, tmp_path: Path) -> None:
    accounts = accounts_over(engine, clock=FakeClock(), data_dir=tmp_path)
    await demo.seed(accounts)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await demo_audience.talk(house, accounts.users, log=get_log("test"), pause_s=lambda: 0.01)


async def test_people_of_the_demo_talk_in_turn_while_somebody_watches(engine: AsyncEngine, tmp_path: Path) -> None:
    house = House(Presence(1))
    await listen(house, engine, tmp_path)
    assert house.said[:2] == [("Alice", "viewer"), ("Bob", "viewer")]


async def test_nobody_talks_to_an_empty_room(engine: AsyncEngine, tmp_path: Path) -> None:
    for present in (None, Presence(0)):
        house = House(present)
        await listen(house, engine, tmp_path)
        assert house.said == []
