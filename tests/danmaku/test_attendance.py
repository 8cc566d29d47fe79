"""What rooms tell whoever counts people, hearts and cards; and the show board, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from danmaku.ports import Seat
from streamd.board.attendance import Attendance
from streamd.board.figures import Board
from streamd.clock import SystemClock
from streamd.telemetry.log import get_log
from tests.board.stage import house, show
from tests.support.rooms import RawClient, room_node

CARD = {"version": 1, "product": {"id": "1", "title": "T"}}


class Counter:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def came(self, room: str, seat: Seat) -> None:
        self.said.append(("came", room, seat.identity.name))

    def left(self, room: str, seat: Seat) -> None:
        self.said.append(("left", room, seat.identity.name))

    def liked(self, room: str, count: int) -> None:
        self.said.append(("liked", room, count))

    def shown(self, room: str, payload: Mapping[str, Any] | None, members: int) -> None:
        self.said.append(("shown", room, payload and payload["version"], members))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # whoever counts tells nobody
            await asyncio.sleep(0.01)


async def test_who_counts_hears_of_people_hearts_and_cards() -> None:
    counter = Counter()
    async with room_node(attendance=counter) as node:
        alice = await RawClient.join(node.port, token="alice")
        bob = await RawClient.join(node.port, token="bob")
        await alice.call("like", {"count": 3})
        await until(lambda: len(counter.said) == 3)
        await node.gateway.publish("demo", "card", CARD)
        await node.gateway.publish("demo", "pinned", {"message": "hello"})
        await node.gateway.publish("demo", "card", {"version": 2, "product": None})
        await bob.close()
        await until(lambda: len(counter.said) == 6)
        assert counter.said == [
            ("came", "demo", "alice"),
            ("came", "demo", "bob"),
            ("liked", "demo", 3),
            ("shown", "demo", 1, 2),
            ("shown", "demo", None, 2),
            ("left", "demo", "bob"),
        ]
        assert [seat.identity.name for seat in node.gateway.seats("demo")] == ["alice"]
        await alice.close()
        assert (node.gateway.seats("nowhere"), node.gateway.online("nowhere")) == ([], 0)


async def test_board_counts_a_room_full_of_people(engine: AsyncEngine) -> None:
    clock = SystemClock()
    await house(engine)
    attendance = Attendance(engine=engine, clock=clock, log=get_log("test"), pseudonym=lambda address: address)
    async with room_node(attendance=attendance) as node:
        early = await RawClient.join(node.port, token="early")
        await node.gateway.publish("demo", "card", CARD)
        now_ms = clock.utc_ms()
        await show(engine, ended=False, started_at_ms=now_ms, seen_at_ms=now_ms)
        await attendance.write(node.gateway)
        clients = [await RawClient.join(node.port, token=f"u{number % 3}") for number in range(6)]
        clients += [await RawClient.join(node.port) for _ in range(2)]
        await early.call("like", {"count": 5})
        await clients[0].close()
        await until(lambda: len(node.gateway.seats("demo")) == 8)
        await attendance.write(node.gateway)
        figures = await Board(engine=engine, clock=clock).figures("demo", show_id=None)
        # Guests behind one address are one viewer.
        assert (figures.viewers, figures.visits, figures.peak, figures.likes) == (5, 9, 9, 5)
        assert figures.exposures == 9
        assert figures.watch_ms > 0
        for client in (early, *clients[1:]):
            await client.close()
