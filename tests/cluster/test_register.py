"""What the register promises, held against Redis and a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streamd.clock import SystemClock
from streamd.cluster.redis import RedisBus
from streamd.cluster.redis_register import RedisRegister
from streamd.cluster.register import Holding, Numbers, Ownership, Register, Table, WorkerCard
from streamd.errors import UnavailableError
from tests.support.redis import free_port, redis_server

KINDS = ["redis", "cluster"]
LONG_MS = 5_000
A = WorkerCard("n1-0-aa", "n1", 0, "127.0.0.1:4001")
B = WorkerCard("n1-1-bb", "n1", 1, "127.0.0.1:4002")


@asynccontextmanager
async def a_register(kind: str = "redis") -> AsyncIterator[Register]:
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port())) if kind == "cluster" else ()
    async with redis_server(*options) as server:
        url = server.url
        if kind == "cluster":
            async with server.client() as client:
                await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
                while b"cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            url = f"redis+cluster://127.0.0.1:{server.port}"
        bus = RedisBus(url, clock=SystemClock())
        try:
            yield RedisRegister(bus.run_script)
        finally:
            await bus.aclose()


async def beat(register: Register, card: WorkerCard, *holdings: Holding, ttl_ms: int = LONG_MS) -> Table:
    return await register.beat(card, holdings, ttl_ms=ttl_ms, secret=card.worker.encode())


def holding(epoch: int, *, on_air: bool = True, numbers: tuple[int, int] = (100, 5), room: str = "demo") -> Holding:
    return Holding(room, epoch, on_air, Numbers(*numbers))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_newest_claim_owns_and_the_former_owner_learns_it_at_its_beat(kind: str) -> None:
    async with a_register(kind) as register:
        first = await register.claim("demo", A.worker, ttl_ms=LONG_MS)
        assert first.before is None
        assert (await beat(register, A, holding(first.epoch))).lost == ()
        second = await register.claim("demo", B.worker, ttl_ms=LONG_MS)
        assert second.epoch > first.epoch
        assert second.before == Ownership("demo", A.worker, first.epoch, True)
        assert (await beat(register, A, holding(first.epoch))).lost == ("demo",)
        table = await beat(register, B, holding(second.epoch))
        assert table.lost == ()
        assert table.owners == {"demo": Ownership("demo", B.worker, second.epoch, True)}
        assert table.workers == {A.worker: A, B.worker: B}
        assert await register.owner("demo") == table.owners["demo"]


@pytest.mark.parametrize("kind", KINDS)
async def test_numbers_go_to_the_next_owner_with_a_lead(kind: str) -> None:
    async with a_register(kind) as register:
        first = await register.claim("demo", A.worker, ttl_ms=LONG_MS)
        assert first.numbers == Numbers()
        known = Numbers(3_600_000_000, 7, "1/30,constant,2000,va")
        await beat(register, A, Holding("demo", first.epoch, True, known))
        second = await register.claim("demo", B.worker, ttl_ms=LONG_MS)
        assert second.numbers.media > 3_600_000_000
        assert second.numbers[1:] == known[1:]
        await register.release("demo", epoch=first.epoch, numbers=Numbers(1, 1))
        assert await register.owner("demo") is not None, "who lost it cannot release it"
        await register.release("demo", epoch=second.epoch, numbers=Numbers(3_600_000_100, 8))
        assert await register.owner("demo") is None
        third = await register.claim("demo", A.worker, ttl_ms=LONG_MS)
        assert third.before is None
        assert third.numbers == Numbers(3_600_000_100, 8)


async def test_owner_that_falls_silent_is_told_as_vanished_to_one_worker_once() -> None:
    async with a_register() as register:
        on_air = await register.claim("demo", A.worker, ttl_ms=30)
        paused = await register.claim("quiet", A.worker, ttl_ms=30)
        await beat(register, A, holding(on_air.epoch), holding(paused.epoch, on_air=False, room="quiet"), ttl_ms=30)
        await asyncio.sleep(0.06)
        assert await register.owner("demo") is None
        first, second = await beat(register, B), await beat(register, B)
        assert (first.vanished, second.vanished) == (("demo",), ())
        assert first.workers == {B.worker: B}
        assert first.owners == {}


async def test_owner_that_was_silent_goes_on_where_nobody_took_its_stream() -> None:
    async with a_register() as register:
        claimed = await register.claim("demo", A.worker, ttl_ms=30)
        await asyncio.sleep(0.06)
        await beat(register, B)
        table = await beat(register, A, holding(claimed.epoch))
        assert table.lost == ()
        assert table.owners["demo"].epoch == claimed.epoch


async def test_redis_that_forgot_everything_gives_no_epoch_twice() -> None:
    async with a_register() as register:
        far_ahead = 1 << 45  # an owner whose epoch came from a clock that was wrong
        await beat(register, A, holding(far_ahead))
        claimed = await register.claim("demo", B.worker, ttl_ms=LONG_MS)
        assert claimed.epoch == far_ahead + 1
        assert (await register.claim("demo", A.worker, ttl_ms=LONG_MS, above=1 << 46)).epoch == (1 << 46) + 1


async def test_all_workers_end_up_with_the_secret_of_the_first() -> None:
    async with a_register() as register:
        assert (await beat(register, A)).secret == A.worker.encode()
        assert (await beat(register, B)).secret == A.worker.encode()


async def test_worker_that_left_is_not_in_the_table() -> None:
    async with a_register() as register:
        await beat(register, A)
        await register.leave(A.worker)
        assert (await beat(register, B)).workers == {B.worker: B}


async def test_redis_that_is_away_is_said_so() -> None:
    bus = RedisBus(f"redis://127.0.0.1:{free_port()}", clock=SystemClock())
    register = RedisRegister(bus.run_script)
    with pytest.raises(UnavailableError):
        await register.claim("demo", A.worker, ttl_ms=LONG_MS)
    await bus.aclose()
