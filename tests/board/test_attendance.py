"""People, hearts and cards are counted while a programme runs, without a word to the database on the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from danmaku.conduct import Identity
from streamd.board.attendance import Attendance
from streamd.db.board_tables import card_minutes, show_minutes, show_nodes, visits
from streamd.errors import NotFoundError
from streamd.telemetry.log import get_log
from tests.board.stage import START_MS, house, rows_of, show, sql
from tests.support.clock import FakeClock

MINUTE_MS = START_MS - START_MS % 60_000


@dataclass
class Chair:
    identity: Identity
    address: str = "192.0.2.1"
    visit: int = 0


@dataclass
class Room:
    """An audience of one node."""

    chairs: list[Chair] = field(default_factory=list)
    elsewhere: int = 0
    card: dict[str, Any] | None = None

    def seats(self, room: str) -> Sequence[Chair]:
        return self.chairs if room == "demo" else []

    def online(self, room: str) -> int:
        return len(self.seats(room)) + self.elsewhere

    def state(self, room: str, key: str) -> Mapping[str, Any] | None:
        return self.card


class House:
    """Attendance over a room that the test fills."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.clock = FakeClock(utc_ms=START_MS)
        self.room = Room()
        self.attendance = Attendance(
            engine=engine, clock=self.clock, log=get_log("test"), pseudonym=lambda address: f"guest of {address}"
        )

    def come(self, name: str, *, role: str = "viewer", address: str = "192.0.2.1") -> Chair:
        chair = Chair(Identity(id=name, name=name, role=role), address)
        self.room.chairs.append(chair)
        self.attendance.came("demo", chair)
        return chair

    def go(self, chair: Chair) -> None:
        self.attendance.left("demo", chair)
        self.room.chairs.remove(chair)

    def show_card(self, product: object, *, version: int = 1) -> None:
        self.room.card = {"version": version, "product": {"id": product}}
        self.attendance.shown("demo", self.room.card, len(self.room.chairs))

    async def write(self) -> None:
        await self.attendance.write(self.room)


@pytest.fixture
async def playing(engine: AsyncEngine) -> House:
    """A programme runs, and this node knows."""
    await house(engine)
    await show(engine, ended=False)
    made = House(engine)
    await made.write()
    return made


async def test_visits_are_written_when_people_come_and_go(playing: House, engine: AsyncEngine) -> None:
    alice = playing.come("alice")
    playing.clock.advance(10_000)
    guest = playing.come("guest-1", role="guest")
    await playing.write()
    playing.clock.advance(5_500)
    playing.go(alice)
    playing.clock.advance(2_000)
    playing.go(guest)
    await playing.write()
    found = [
        (row.viewer, row.joined_at_ms - START_MS, row.left_at_ms - START_MS) for row in await rows_of(engine, visits)
    ]
    assert found == [("alice", 0, 16_000), ("guest of 192.0.2.1", 10_000, 18_000)]


async def test_those_who_wait_when_the_programme_begins_are_counted(engine: AsyncEngine) -> None:
    await house(engine)
    made = House(engine)
    waiting = [made.come(f"u{number}") for number in range(3)]
    await made.write()
    assert await rows_of(engine, visits) == []
    await show(engine, ended=False)
    await made.write()
    await made.write()
    made.go(waiting[0])
    await made.write()
    assert [(row.viewer, row.left_at_ms is None) for row in await rows_of(engine, visits)] == [
        ("u0", False),
        ("u1", True),
        ("u2", True),
    ]


async def test_second_programme_counts_those_who_stayed_again(playing: House, engine: AsyncEngine) -> None:
    stayed = playing.come("alice")
    await playing.write()
    await sql_do(engine, "UPDATE shows SET open_room_id = NULL, ended_at_ms = started_at_ms + 1000")
    await playing.write()
    await show(engine, ended=False)
    await playing.write()
    playing.go(stayed)
    await playing.write()
    assert [(row.show_id, row.left_at_ms is None) for row in await rows_of(engine, visits)] == [(1, True), (2, False)]


async def sql_do(engine: AsyncEngine, words: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(words))


async def test_minutes_add_up_and_keep_the_peak(playing: House, engine: AsyncEngine) -> None:
    chairs = [playing.come(f"u{number}") for number in range(5)]
    playing.attendance.liked("demo", 7)
    for chair in chairs[1:]:
        playing.go(chair)
    await playing.write()
    playing.attendance.liked("demo", 3)
    await playing.write()
    playing.clock.advance(60_000)
    playing.room.elsewhere = 1
    await playing.write()
    found = [(row.minute_ms - MINUTE_MS, row.online_peak, row.likes) for row in await rows_of(engine, show_minutes)]
    assert found == [(0, 5, 10), (60_000, 2, 0)]
    (node,) = await rows_of(engine, show_nodes)
    assert node.seen_at_ms == START_MS + 60_000


async def test_two_nodes_add_to_the_same_minute(playing: House, engine: AsyncEngine) -> None:
    other = House(engine)
    await other.write()
    for each, likes in ((playing, 5), (other, 6)):
        each.come("alice")
        each.attendance.liked("demo", likes)
        await each.write()
    (minute,) = await rows_of(engine, show_minutes)
    assert (minute.likes, minute.online_peak) == (11, 1)
    assert await sql(engine, "SELECT COUNT(*), COUNT(DISTINCT viewer) FROM visits") == [(2, 1)]


async def test_card_is_exposed_to_those_present_and_to_those_who_come(playing: House, engine: AsyncEngine) -> None:
    for number in range(3):
        playing.come(f"u{number}")
    playing.show_card("1")
    playing.come("late")
    playing.show_card("1")  # another price, the same card
    playing.show_card(2, version=2)
    playing.attendance.shown("demo", None, 4)
    playing.come("later")
    await playing.write()
    playing.show_card("1", version=3)
    await playing.write()
    found = {row.product_id: row.exposures for row in await rows_of(engine, card_minutes)}
    assert found == {1: 3 + 1 + 5, 2: 4}


async def test_card_that_stands_when_the_programme_begins_counts(engine: AsyncEngine) -> None:
    await house(engine)
    made = House(engine)
    made.come("alice")
    made.show_card("2")
    await show(engine, ended=False)
    await made.write()
    await made.write()
    assert [(row.product_id, row.exposures) for row in await rows_of(engine, card_minutes)] == [(2, 1)]


async def test_taps_count_for_what_the_room_sells(playing: House, engine: AsyncEngine) -> None:
    for _ in range(3):
        playing.attendance.clicked("demo", 3)
    for room, product in (("demo", 9), ("other", 1)):
        with pytest.raises(NotFoundError):
            playing.attendance.clicked(room, product)
    await playing.write()
    assert [(row.product_id, row.clicks) for row in await rows_of(engine, card_minutes)] == [(3, 3)]


async def test_room_without_a_programme_costs_nothing(engine: AsyncEngine) -> None:
    await house(engine)
    made = House(engine)
    chair = made.come("alice")
    made.attendance.liked("demo", 3)
    made.show_card("1")
    made.go(chair)
    await made.write()
    assert (chair.visit, await rows_of(engine, visits), await rows_of(engine, show_minutes)) == (0, [], [])


async def test_what_the_database_did_not_take_is_written_later(playing: House, engine: AsyncEngine) -> None:
    chair = playing.come("alice")
    playing.attendance.liked("demo", 5)
    playing.show_card("1")
    for table in ("visits", "card_minutes"):
        await sql_do(engine, f"ALTER TABLE {table} RENAME TO {table}_away")
        with pytest.raises(SQLAlchemyError):
            await playing.write()
        await sql_do(engine, f"ALTER TABLE {table}_away RENAME TO {table}")
        if table == "visits":
            playing.go(chair)
    await playing.write()
    (visit,), (minute,), (card,) = [await rows_of(engine, table) for table in (visits, show_minutes, card_minutes)]
    assert (visit.viewer, visit.left_at_ms is None, minute.likes, card.exposures) == ("alice", False, 5, 1)
