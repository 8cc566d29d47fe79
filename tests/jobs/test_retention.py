"""What is too old goes, in small steps; what must stay stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from danmaku.history import DanmakuHistory
from streamd.board.figures import Board
from streamd.board.keeping import Keeping
from streamd.db.board_tables import show_nodes, visits
from streamd.db.shop_tables import jobs, orders, outbox, payment_notices, payments, refunds
from streamd.db.small_steps import STEP_ROWS, delete_step
from streamd.db.tables import danmaku, stored_answers
from streamd.errors import UnavailableError
from streamd.jobs.retention import DAY_MS, Retention
from streamd.retaining import Old
from streamd.settings import Retention as Settings
from streamd.telemetry.log import get_log
from tests.board.stage import SHOW_MS, START_MS, busy_show, rows_of
from tests.support.accounts import accounts_over
from tests.support.clock import FakeClock


def retention(engine: AsyncEngine, clock: FakeClock, folder: Path, **days: int) -> Retention:
    board = Board(engine=engine, clock=clock)
    old = Old(
        history=DanmakuHistory(engine=engine),
        programmes=Keeping(engine=engine, board=board),
        settings=Settings(**days),
    )
    answers = accounts_over(engine, clock=clock, data_dir=folder).answers
    made = old.retention(engine=engine, clock=clock, answers=answers)
    made._pause_s = 0
    return made


async def put(engine: AsyncEngine, table: Any, rows: list[dict[str, object]]) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(table), rows)


def job(number: int, status: str, due_at_ms: int) -> dict[str, object]:
    times = {"due_at_ms": due_at_ms, "created_at_ms": 1}
    return {"kind": "k", "subject": str(number), "payload": "{}", "status": status, **times}


async def test_each_part_loses_what_is_too_old_and_nothing_else(engine: AsyncEngine, tmp_path: Path) -> None:
    clock = FakeClock()
    now_ms = clock.utc_ms()
    old_ms, fresh_ms = now_ms - 31 * DAY_MS, now_ms - 29 * DAY_MS
    rows = [job(1, "done", old_ms), job(2, "done", fresh_ms), job(3, "dead", old_ms), job(4, "waiting", old_ms)]
    await put(engine, jobs, rows)
    fact = {"room": "demo", "event": "order", "payload": "{}", "at_ms": 1}
    await put(engine, outbox, [fact | {"told_at_ms": at_ms} for at_ms in (0, now_ms - DAY_MS - 1, now_ms - DAY_MS)])
    answer = {"request_hash": "", "claimed_at_ms": 1}
    over = [{"key": str(at_ms), "expires_at_ms": at_ms} for at_ms in (now_ms - 1, now_ms)]
    await put(engine, stored_answers, [answer | each for each in over])
    notice = {"gateway": "sandbox", "reference": "P1", "kind": "paid", "outcome": "paid", "body": "signed words"}
    times = [{"notice_id": str(at_ms), "received_at_ms": at_ms} for at_ms in (old_ms, fresh_ms)]
    await put(engine, payment_notices, [notice | each for each in times])
    sweep = retention(engine, clock, tmp_path, jobs_days=30, notices_days=30)
    for _ in range(2):
        await sweep("every", {})
    assert [row.subject for row in await rows_of(engine, jobs)] == ["2", "3", "4"]
    assert sorted(row.told_at_ms for row in await rows_of(engine, outbox)) == [0, now_ms - DAY_MS]
    assert [row.expires_at_ms for row in await rows_of(engine, stored_answers)] == [now_ms]
    kept = {row.received_at_ms: (row.body, row.outcome) for row in await rows_of(engine, payment_notices)}
    assert kept == {old_ms: ("", "paid"), fresh_ms: ("signed words", "paid")}


async def test_figures_of_a_programme_outlive_its_visits_and_its_words(engine: AsyncEngine, tmp_path: Path) -> None:
    await busy_show(engine, seed=6)
    clock = FakeClock(utc_ms=START_MS + SHOW_MS + 10 * DAY_MS)
    board = Board(engine=engine, clock=clock)
    before = await board.figures("demo", show_id=1)
    sales = [len(await rows_of(engine, table)) for table in (orders, payments, refunds)]
    await retention(engine, clock, tmp_path, visits_days=11, danmaku_days=20)("every", {})
    assert len(await rows_of(engine, visits)) == 50
    await retention(engine, clock, tmp_path, visits_days=20, danmaku_days=9)("every", {})
    assert [await rows_of(engine, table) for table in (visits, show_nodes, danmaku)] == [[], [], []]
    after = await board.figures("demo", show_id=1)
    names = ("viewers", "visits", "watch_ms", "messages", "likes", "peak", "exposures", "orders", "refunds", "money")
    assert {name: getattr(after, name) for name in names} == {name: getattr(before, name) for name in names}
    assert [len(await rows_of(engine, table)) for table in (orders, payments, refunds)] == sales


async def test_programme_that_runs_loses_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    await busy_show(engine, seed=7)
    async with engine.begin() as connection:
        from streamd.db.board_tables import shows

        await connection.execute(update(shows).values(ended_at_ms=None, open_room_id=1))
    clock = FakeClock(utc_ms=START_MS + 100 * DAY_MS)
    await retention(engine, clock, tmp_path, visits_days=1)("every", {})
    assert len(await rows_of(engine, visits)) == 50


async def test_many_rows_go_a_few_at_a_time(engine: AsyncEngine) -> None:
    await put(engine, jobs, [job(number, "done", 1) for number in range(STEP_ROWS + 1)])
    old = jobs.c.status == "done"
    assert [await delete_step(engine, jobs, old) for _ in range(3)] == [True, False, False]
    async with engine.connect() as connection:
        assert (await connection.execute(select(jobs.c.id))).first() is None


@pytest.mark.parametrize("error", [UnavailableError("away"), OSError("reset")])
async def test_part_that_fails_does_not_keep_the_others_from_theirs(error: Exception) -> None:
    done: list[int] = []

    async def fails(_before_ms: int) -> bool:
        raise error

    async def works(before_ms: int) -> bool:
        done.append(before_ms)
        return len(done) < 3

    clock = FakeClock()
    parts = {"first": (0, fails), "second": (DAY_MS, works)}
    await Retention(clock=clock, log=get_log("test"), parts=parts, pause_s=0)("every", {})
    assert done == [clock.utc_ms() - DAY_MS] * 3
