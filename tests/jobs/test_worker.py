"""Jobs are done when they are due, by one worker at a time, and again when they failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from prometheus_client.core import Metric
from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from structlog.testing import capture_logs

from streamd.clock import Clock, SystemClock
from streamd.db.busy import in_transaction
from streamd.db.engine import open_engine
from streamd.db.shop_tables import jobs
from streamd.errors import UnavailableError
from streamd.jobs.shelf import LEASE_MS, JobShelf
from streamd.jobs.worker import Jobs, JobSettings
from streamd.telemetry.log import get_log
from tests.support.clock import FakeClock

QUICK = JobSettings(drain_ms=50, patience_s=0.05)


class Hands:
    """A handler that notes what it is given."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails: list[Exception] = []
        self.at_once = 0
        self.most_at_once = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.news = asyncio.Condition()

    async def __call__(self, subject: str, payload: Mapping[str, object]) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async with self.news:
                self.done.append(f"{subject}:{payload.get('n', '')}")
                self.news.notify_all()
            await self.may_end.wait()
            if self.fails:
                raise self.fails.pop(0)
        finally:
            self.at_once -= 1

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(lambda: len(self.done) >= count)


def worker(engine: AsyncEngine, hands: Hands, clock: Clock, settings: JobSettings = QUICK) -> Jobs:
    made = Jobs(engine=engine, clock=clock, log=get_log("test"), settings=settings)
    made.handle("order.expire", hands)
    return made


async def put(engine: AsyncEngine, made: Jobs, subject: str, *, due_at_ms: int = 0, n: int = 0) -> None:
    async def add(connection: AsyncConnection) -> None:
        await made.add(connection, kind="order.expire", subject=subject, payload={"n": n}, due_at_ms=due_at_ms)

    await in_transaction(engine, add)
    made.wake()


@asynccontextmanager
async def running(*workers: Jobs) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in workers]
        yield
        for task in tasks:
            task.cancel()


async def rows(engine: AsyncEngine) -> list[Row[tuple[object, ...]]]:
    async with engine.connect() as connection:
        return list((await connection.execute(select(jobs).order_by(jobs.c.id))).all())


async def until(engine: AsyncEngine, holds: Callable[[list[Row[tuple[object, ...]]]], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds(await rows(engine)):  # noqa: ASYNC110  # a table tells nobody
            await asyncio.sleep(0.01)


async def until_ended(engine: AsyncEngine) -> None:
    await until(engine, lambda found: all(row.lease == "" for row in found))


async def test_job_is_done_once_and_kept_as_done(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    made = worker(engine, hands, clock)
    await put(engine, made, "o1", n=7)
    async with running(made):
        await hands.until(1)
        await until(engine, lambda found: found[0].status == "done")
    assert hands.done == ["o1:7"]
    (row,) = await rows(engine)
    assert (row.lease, row.attempts, row.finished_at_ms, row.error) == ("", 1, clock.utc_ms(), "")


async def test_job_waits_for_its_time(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    made = worker(engine, hands, clock)
    await put(engine, made, "late", due_at_ms=clock.utc_ms() + 60_000)
    await put(engine, made, "now")
    async with running(made):
        await hands.until(1)
        await until(engine, lambda found: found[1].status == "done")
        assert hands.done == ["now:0"]
        clock.advance(60_000)
        made.wake()
        await hands.until(2)
        await until_ended(engine)
    assert hands.done == ["now:0", "late:0"]


async def test_job_of_a_transaction_that_failed_is_never_done(engine: AsyncEngine) -> None:
    hands = Hands()
    made = worker(engine, hands, FakeClock())
    async with engine.connect() as connection:
        await made.add(connection, kind="order.expire", subject="o1", payload={}, due_at_ms=0)
        await connection.rollback()
    await put(engine, made, "o2")
    async with running(made):
        await hands.until(1)
        await until_ended(engine)
    assert hands.done == ["o2:0"]


async def test_job_that_waits_is_replaced_by_one_of_the_same_name(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    made = worker(engine, hands, clock)
    await put(engine, made, "o1", due_at_ms=clock.utc_ms() + 60_000, n=1)
    await put(engine, made, "o1", n=2)
    async with running(made):
        await hands.until(1)
        await until_ended(engine)
        await put(engine, made, "o1", n=3)
        await hands.until(2)
        await until_ended(engine)
    assert hands.done == ["o1:2", "o1:3"]
    assert len(await rows(engine)) == 1


async def test_job_that_is_asked_for_while_it_is_done_is_done_again_afterwards(engine: AsyncEngine) -> None:
    hands = Hands()
    hands.may_end.clear()
    made = worker(engine, hands, FakeClock())
    await put(engine, made, "o1", n=1)
    async with running(made):
        await hands.until(1)
        await put(engine, made, "o1", n=2)
        await asyncio.sleep(0.05)
        assert hands.done == ["o1:1"]
        hands.may_end.set()
        await hands.until(2)
        await until_ended(engine)
    assert hands.done == ["o1:1", "o1:2"]
    assert hands.most_at_once == 1
    assert [row.status for row in await rows(engine)] == ["done"]


async def test_what_passes_by_itself_is_tried_again_later(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    hands.fails = [UnavailableError("the gateway is away")]
    made = worker(engine, hands, clock)
    await put(engine, made, "o1")
    async with running(made):
        await hands.until(1)
        await until(engine, lambda found: found[0].error != "")
        (row,) = await rows(engine)
        assert (row.status, row.lease, row.attempts) == ("waiting", "", 1)
        assert row.due_at_ms == clock.utc_ms() + 1_000
        assert row.error == "UnavailableError: the gateway is away"
        clock.advance(1_000)
        made.wake()
        await hands.until(2)
        await until(engine, lambda found: found[0].status == "done")
    assert (await rows(engine))[0].error == ""


async def test_what_does_not_pass_ends_as_a_dead_letter(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    hands.fails = [ValueError("bad row") for _ in range(4)]
    made = worker(engine, hands, clock)
    await put(engine, made, "o1")
    await put(engine, made, "o2", due_at_ms=clock.utc_ms() + 3_000_000)
    async with running(made):
        for attempt in range(1, 5):
            await hands.until(attempt)
            await until_ended(engine)
            clock.advance(300_000)
            made.wake()
        await until(engine, lambda found: found[0].status == "dead")
    dead, other = await rows(engine)
    assert (dead.attempts, dead.error, other.status) == (4, "ValueError: bad row", "waiting")
    assert hands.done == ["o1:0"] * 4


async def test_two_processes_share_the_work_and_do_nothing_twice(engine: AsyncEngine, database_url: str) -> None:
    hands, clock = Hands(), SystemClock()
    other = open_engine(database_url)
    first, second = worker(engine, hands, clock), worker(other, hands, clock)
    try:
        for number in range(60):
            await put(engine, first, f"o{number}")
        async with running(first, second):
            await hands.until(60)
            await until(engine, lambda found: all(row.status == "done" for row in found))
        assert sorted(hands.done) == sorted(f"o{number}:0" for number in range(60))
    finally:
        await other.dispose()


async def test_many_who_add_at_once_do_not_trip_over_each_other_or_the_workers(engine: AsyncEngine) -> None:
    hands = Hands()
    made = worker(engine, hands, SystemClock())
    async with running(made):
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(put(engine, made, f"o{number % 20}", n=number))
        await until(engine, lambda found: len(found) == 20 and all(row.status == "done" for row in found))
    assert {done.partition(":")[0] for done in hands.done} == {f"o{number}" for number in range(20)}


async def test_job_of_a_worker_that_died_is_done_by_another(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    made = worker(engine, hands, clock)
    await put(engine, made, "o1")
    taken, _ = await JobShelf(engine=engine, clock=clock).lease(["order.expire"], limit=5)
    assert [job.subject for job in taken] == ["o1"]
    shelf = JobShelf(engine=engine, clock=clock)
    assert (await shelf.lease(["order.expire"], limit=5))[0] == []
    clock.advance(LEASE_MS)
    async with running(made):
        await hands.until(1)
        await until(engine, lambda found: found[0].status == "done")
    # The dead one comes back to life, and changes nothing.
    assert not await shelf.renew(taken[0])
    await shelf.bury(taken[0], error="late")
    assert (await rows(engine))[0].status == "done"


async def test_at_most_so_many_run_at_once(engine: AsyncEngine) -> None:
    hands = Hands()
    hands.may_end.clear()
    made = worker(engine, hands, FakeClock(), JobSettings(limit=3, drain_ms=50))
    for number in range(7):
        await put(engine, made, f"o{number}")
    async with running(made):
        await hands.until(3)
        await asyncio.sleep(0.05)
        assert hands.at_once == 3
        hands.may_end.set()
        await hands.until(7)
        await until_ended(engine)
    assert hands.most_at_once == 3


async def test_stopping_lets_what_runs_end_and_gives_the_rest_back(engine: AsyncEngine) -> None:
    quick, stuck, clock = Hands(), Hands(), FakeClock()
    quick.may_end.clear()
    stuck.may_end.clear()
    made = worker(engine, quick, clock)
    made.handle("stuck", stuck)
    await put(engine, made, "o1")
    async with engine.begin() as connection:
        await made.add(connection, kind="stuck", subject="s1", payload={}, due_at_ms=0)
    async with running(made):
        await quick.until(1)
        await stuck.until(1)
        asyncio.get_running_loop().call_later(0.01, quick.may_end.set)
    first, second = await rows(engine)
    assert (first.status, first.lease) == ("done", "")
    assert (second.status, second.lease, second.attempts) == ("waiting", "", 0)


async def test_what_passes_by_itself_is_a_warning_when_it_has_not_passed_for_three_times(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    hands.fails = [UnavailableError("the gateway does not answer") for _ in range(4)]
    made = worker(engine, hands, clock)
    with capture_logs() as lines:
        await put(engine, made, "o1")
        async with running(made):
            for attempt in range(1, 6):
                await hands.until(attempt)
                await until_ended(engine)
                clock.advance(300_000)
                made.wake()
    levels = [(line["attempt"], line["log_level"]) for line in lines if line["event"] == "jobs.failed"]
    assert levels == [(1, "info"), (2, "info"), (3, "warning"), (4, "warning")]


async def test_what_recurs_comes_again_whatever_became_of_it(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    hands.fails = [ValueError("bad") for _ in range(4)]
    made = Jobs(engine=engine, clock=clock, log=get_log("test"), settings=QUICK)
    made.every(86_400_000, "retention", hands)
    async with running(made):
        for attempt in range(1, 5):
            await hands.until(attempt)
            await until_ended(engine)
            clock.advance(300_000)
            made.wake()
        await until(engine, lambda found: found[0].due_at_ms >= clock.utc_ms() + 80_000_000)
        clock.advance(86_400_000)
        made.wake()
        await hands.until(5)
        await until(engine, lambda found: found[0].error == "")
    (row,) = await rows(engine)
    assert (row.status, row.subject, row.due_at_ms) == ("waiting", "every", clock.utc_ms() + 86_400_000)


async def test_shorter_interval_holds_from_the_next_start(engine: AsyncEngine) -> None:
    hands, clock = Hands(), FakeClock()
    for interval_ms in (86_400_000, 3_600_000):
        made = Jobs(engine=engine, clock=clock, log=get_log("test"), settings=QUICK)
        made.every(interval_ms, "retention", hands)
        due_ms = clock.utc_ms() + interval_ms
        async with running(made):
            await until(engine, lambda found, due_ms=due_ms: bool(found) and found[0].due_at_ms == due_ms)  # type: ignore[misc]
    assert hands.done == ["every:"]


async def test_table_that_cannot_be_read_stops_nobody_for_good(engine: AsyncEngine) -> None:
    hands = Hands()
    made = worker(engine, hands, SystemClock())
    await put(engine, made, "o1")
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE jobs RENAME TO jobs_away"))
    async with running(made):
        async with asyncio.timeout(30):
            while not made.failures:  # noqa: ASYNC110  # it has nobody to tell
                await asyncio.sleep(0.01)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE jobs_away RENAME TO jobs"))
        await hands.until(1)
        await until_ended(engine)
    assert hands.done == ["o1:0"]


async def test_tries_are_counted_by_kind_and_outcome(engine: AsyncEngine) -> None:
    hands = Hands()
    made = worker(engine, hands, FakeClock())
    await put(engine, made, "o1")
    async with running(made):
        await until(engine, lambda found: found[0].status == "done")
    counted: list[Metric] = list(made.collect())
    samples = [(sample.labels, sample.value) for metric in counted for sample in metric.samples if sample.labels]
    assert samples == [({"kind": "order.expire", "outcome": "done"}, 1)]
