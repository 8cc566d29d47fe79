"""What dies, and who notices: fault after fault on two nodes, with viewers who object to every broken promise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import socketio

from loadtest.scenarios.faults import ROOM, Outcome, Theatre
from tests.interop.theatre import open_theatre
from tests.support.web import get


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    with open_theatre() as opened:
        yield opened


def check(outcome: Outcome, *, stall_s: float, discontinuities: int) -> None:
    assert outcome.objections == ()
    assert outcome.went_back == 0
    assert outcome.discontinuities <= discontinuities
    assert max(outcome.stalls_s) <= stall_s, outcome
    told = outcome.testimony
    assert told is not None
    assert (told.lost, told.placed > 0, told.said > 0) == ("nothing", True, True), told


# In this order: each leaves the stage as the next one needs it.


def test_redis_restarted_empty_interrupts_no_picture(theatre: Theatre) -> None:
    check(theatre.redis_restarted(), stall_s=2.0, discontinuities=0)


def test_encoder_that_reconnects_elsewhere_while_redis_is_gone_is_on_air_at_once(theatre: Theatre) -> None:
    outcome = theatre.redis_gone(6.0)
    assert outcome.off_air_s <= 3
    check(outcome, stall_s=6.0, discontinuities=1)


def test_owner_killed_is_missed_for_seconds_and_numbers_never_go_back(theatre: Theatre) -> None:
    outcome = theatre.owner_killed()
    assert outcome.off_air_s <= 3
    check(outcome, stall_s=6.0, discontinuities=1)


async def test_members_resume_on_another_node_and_miss_nothing_that_matters(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.first.start)
    welcomes: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    member, other = socketio.AsyncClient(reconnection=False), socketio.AsyncClient(reconnection=False)
    member.on("welcome", welcomes.put_nowait)
    try:
        await member.connect(theatre.first.url, auth={"room": ROOM}, transports=["websocket"], wait_timeout=10)
        first = await asyncio.wait_for(welcomes.get(), 30)
        await asyncio.to_thread(theatre.first.kill)
        await other.connect(theatre.second.url, auth={"room": ROOM}, transports=["websocket"], wait_timeout=10)
        assert (await other.call("like", {"count": 2}, timeout=10))["ok"]
        resume = {"epoch": first["epoch"], "seq": first["seq"]}
        again = socketio.AsyncClient(reconnection=False)
        again.on("welcome", welcomes.put_nowait)
        await again.connect(
            theatre.second.url, auth={"room": ROOM, "resume": resume}, transports=["websocket"], wait_timeout=10
        )
        second = await asyncio.wait_for(welcomes.get(), 30)
        await again.disconnect()
    finally:
        await member.disconnect()
        await other.disconnect()
    assert second["epoch"] == first["epoch"]
    assert second["recovered"]


def test_workers_replaced_one_by_one_drop_nobody_for_longer_than_a_reconnect(theatre: Theatre) -> None:
    theatre.first.start()
    check(theatre.reloaded(), stall_s=6.0, discontinuities=1)


def test_owner_that_stood_still_gives_up_when_it_wakes(theatre: Theatre) -> None:
    outcome = theatre.frozen()
    assert outcome.off_air_s <= 6  # the question to the frozen owner, and those of the one who measures
    check(outcome, stall_s=8.0, discontinuities=1)


def test_drained_node_hands_its_viewers_over(theatre: Theatre) -> None:
    outcome = theatre.drained()
    check(outcome, stall_s=6.0, discontinuities=1)
    assert get(f"{theatre.second.url}/readyz").status == 200
