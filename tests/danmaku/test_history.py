"""Danmaku and sanctions in the database, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from danmaku.conduct import Sanction
from danmaku.history import DanmakuHistory, SanctionShelf
from danmaku.ports import SpokenMessage
from tests.support.clock import FakeClock
from tests.support.rooms import RawClient, room_node

DAY_MS = 86_400_000


def message(number: int, **changes: object) -> SpokenMessage:
    plain = SpokenMessage(
        room="demo",
        seq=number,
        message_id=f"m{number}",
        user_id="u1",
        user_name="小明 🎉",
        role="viewer",
        text=f"第 {number} 条 😀",
        color="#ffffff",
        mode="scroll",
        at_ms=1_800_000_000_000 + number,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


async def test_messages_come_back_in_order_and_only_those_that_were_shown(engine: AsyncEngine) -> None:
    history = DanmakuHistory(engine=engine)
    for number in range(1_203):
        history.add(message(number, status="unshown" if number % 3 == 0 else "shown"))
    history.add(message(5_000, room="other"))
    await history.flush()
    assert history.written == 1_204
    start = 1_800_000_000_000
    rows = await history.replay("demo", from_ms=start + 10, to_ms=start + 20)
    assert [row["seq"] for row in rows] == [10, 11, 13, 14, 16, 17, 19]
    assert rows[0]["text"] == "第 10 条 😀"
    assert rows[0]["user_name"] == "小明 🎉"
    everything = [row["seq"] async for row in history.export("demo")]
    assert everything == list(range(1_203))


async def test_export_loses_nothing_when_many_share_a_millisecond(engine: AsyncEngine) -> None:
    history = DanmakuHistory(engine=engine)
    for number in range(1_100):
        history.add(message(number, at_ms=1_800_000_000_000))
    await history.flush()
    assert [row["seq"] async for row in history.export("demo")] == list(range(1_100))


async def test_marks_change_what_became_of_messages(engine: AsyncEngine) -> None:
    history = DanmakuHistory(engine=engine)
    for number in range(4):
        history.add(message(number))
    history.mark("demo", ["m1", "m2"], "retracted")
    history.mark("other", ["m3"], "retracted")
    await history.flush()
    rows = await history.replay("demo", from_ms=0, to_ms=1 << 52)
    assert [row["message_id"] for row in rows] == ["m0", "m3"]


async def test_what_was_said_long_ago_is_forgotten_in_steps(engine: AsyncEngine) -> None:
    history = DanmakuHistory(engine=engine)
    for number in range(1_200):
        history.add(message(number))
    history.add(message(1, at_ms=1_800_000_000_000 + DAY_MS, seq=9_999))
    await history.flush()
    before_ms = 1_800_000_000_000 + DAY_MS
    assert [await history.forget(before_ms) for _ in range(3)] == [True, True, False]
    assert [row["seq"] async for row in history.export("demo")] == [9_999]


async def test_database_that_is_away_costs_nothing_but_time(engine: AsyncEngine) -> None:
    history = DanmakuHistory(engine=engine)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE danmaku RENAME TO away"))
    history.add(message(1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(history.run())
        async with asyncio.timeout(30):
            while not history.failures:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE away RENAME TO danmaku"))
        history.add(message(2))
        running.cancel()
    assert history.written == 2
    assert history.lost == 0


async def test_full_queue_loses_the_newest_and_counts_them(engine: AsyncEngine) -> None:
    history = DanmakuHistory(engine=engine)
    for number in range(20_010):
        history.add(message(number))
    assert history.lost == 10


async def test_sanctions_outlive_the_process_until_they_end_or_are_lifted(engine: AsyncEngine) -> None:
    clock = FakeClock()
    shelf = SanctionShelf(engine=engine, clock=clock)
    mute = Sanction(user_id="u1", kind="mute", until_ms=clock.utc_ms() + 5_000, reason="刷屏", by="u9")
    ban = Sanction(user_id="u1", kind="ban", reason="fraud")
    await shelf.save("demo", mute)
    await shelf.save("demo", replace(mute, reason="again"))
    await shelf.save("demo", ban)
    await shelf.save("other", ban)
    assert sorted(await shelf.load("demo"), key=lambda each: each.kind) == [ban, replace(mute, reason="again")]
    clock.advance(6_000)
    assert await shelf.load("demo") == [ban]
    await shelf.save("demo", replace(ban, until_ms=0))
    assert await shelf.load("demo") == []
    assert await shelf.load("other") == [ban]


async def test_what_is_said_in_a_room_is_kept_with_what_became_of_it(engine: AsyncEngine) -> None:
    history = DanmakuHistory(engine=engine)
    async with room_node(archive=history) as node:
        alice = await RawClient.join(node.port, token="alice")
        for n in range(3):
            assert (await alice.call("danmaku", {"id": f"k{n}", "text": f"text {n}"}))["ok"]
        await node.gateway.retract("demo", ["k1"])
        await alice.close()
    await history.flush()
    rows = [row async for row in history.export("demo")]
    assert [(row["message_id"], row["seq"], row["status"]) for row in rows] == [
        ("k0", 1, "shown"),
        ("k1", 2, "retracted"),
        ("k2", 3, "shown"),
    ]
