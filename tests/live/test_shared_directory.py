"""The directory of many workers, over a register in memory."""

from __future__ import annotations

import asyncio

from streamd.cluster.register import Holding, Numbers, Ownership, WorkerCard
from streamd.live.directory import Claim
from streamd.live.shared_directory import SharedDirectory
from tests.live.stage import SilentLog
from tests.support.clock import FakeClock
from tests.support.register import PaperRegister


class Worker:
    def __init__(self, name: str, register: PaperRegister, node: str = "n") -> None:
        self.holdings: list[Holding] = []
        self.lost: list[tuple[str, int]] = []
        self.vanished: list[str] = []
        self.directory = SharedDirectory(
            register=register,
            card=WorkerCard(name, node, 0, f"{name}.example:1"),
            clock=register.clock,
            log=SilentLog(),
            holdings=lambda: self.holdings,
            numbers=lambda room: Numbers(500, 3),
            on_lost=lambda room, epoch: self.lost.append((room, epoch)),
            on_vanished=self.vanished.append,
        )

    async def own(self, room: str = "demo") -> int:
        claim = await self.directory.claim(room)
        self.holdings = [Holding(room, claim.epoch, True, Numbers(100, 1))]
        await self.directory.beat()
        return claim.epoch


def two() -> tuple[PaperRegister, Worker, Worker]:
    register = PaperRegister(FakeClock())
    return register, Worker("a", register), Worker("b", register)


async def bereft() -> tuple[PaperRegister, Worker, Worker]:
    """The same two, when b has just given up a programme that a knew of."""
    register, a, b = two()
    epoch = await b.own()
    await a.directory.beat()
    await b.directory.release(Claim(room="demo", worker="b", epoch=epoch))
    await a.directory.beat()
    return register, a, b


async def test_claim_says_who_owned_the_room_and_where_its_numbers_stand() -> None:
    _, a, b = two()
    epoch = await a.own()
    claim = await b.directory.claim("demo")
    assert claim.before == Ownership("demo", "a", epoch, True)
    assert claim.epoch > epoch
    assert claim.numbers == Numbers(100, 1)
    assert (await b.directory.claim("demo")).before is None, "who owns it already takes it from nobody"


async def test_owner_learns_at_its_beat_that_it_is_none_any_more() -> None:
    _, a, b = two()
    await a.own()
    epoch = await b.own()
    await a.directory.beat()
    assert a.lost == [("demo", epoch)]
    assert b.lost == []


async def test_owner_that_was_claimed_a_moment_ago_is_found_without_waiting_for_a_beat() -> None:
    _, a, b = two()
    await a.directory.beat()
    await b.directory.claim("demo")
    owner = await a.directory.find("demo")
    assert owner is not None
    assert owner.worker == "b"
    assert await b.directory.find("demo") is None, "nobody else owns what is ours"


async def test_room_that_nobody_owns_is_not_asked_for_again_at_once() -> None:
    register, a, _ = two()
    for _ in range(50):
        assert await a.directory.find("nobody") is None
    assert register.asked == 1
    register.clock.advance(250)
    await a.directory.find("nobody")
    assert register.asked == 2


async def test_owner_that_is_gone_is_forgotten_when_looked_for_afresh() -> None:
    register, a, b = two()
    await b.own()
    await a.directory.beat()
    assert await a.directory.find("demo") is not None
    register.clock.advance(60_000)
    assert await a.directory.find("demo", afresh=True) is None
    assert a.directory.known("demo") is None


async def test_programme_that_has_just_lost_its_owner_is_waited_for() -> None:
    register, a, b = await bereft()
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(a.directory.find_next("demo"))
        await asyncio.sleep(0.25)
        assert not looking.done()
        register.clock.advance(1_000)
        await b.directory.claim("demo")
    found = looking.result()
    assert found is not None
    assert found.worker == "b"


async def test_wait_for_the_next_owner_ends_where_its_encoder_comes_to_this_worker() -> None:
    _, a, _ = await bereft()
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(a.directory.find_next("demo"))
        await asyncio.sleep(0)
        await a.directory.claim("demo")
    assert looking.result() is None
    assert a.directory.known("demo") is not None


async def test_programme_that_ended_a_while_ago_is_not_waited_for() -> None:
    register, a, _ = await bereft()
    register.clock.advance(3_000)
    async with asyncio.timeout(30):
        assert await a.directory.find_next("demo") is None
        assert await a.directory.find_next("nobody") is None


async def test_without_the_register_a_claim_is_made_alone_and_wins_by_its_epoch() -> None:
    register, a, b = two()
    epoch = await a.own()
    await b.directory.beat()
    register.away = True
    alone = await b.directory.claim("demo")
    assert alone.unheard
    assert alone.epoch > epoch
    assert alone.before is not None
    assert alone.before.worker == "a"
    a.directory.hear(Ownership("demo", "b", alone.epoch, True))
    found = await a.directory.find("demo", afresh=True)
    assert found is not None
    assert found.worker == "b"
    a.directory.hear(Ownership("demo", "c", epoch, True))
    known = a.directory.known("demo")
    assert known is not None
    assert known.worker == "b", "old news change nothing"


async def test_while_the_register_is_away_and_a_little_longer_the_last_table_holds() -> None:
    register, a, b = two()
    await b.own()
    await a.directory.beat()
    register.away = True
    await a.directory.beat()
    assert a.directory.on_air() == {"demo"}
    register.away = False
    register.owners.clear()
    await a.directory.beat()
    assert a.directory.on_air() == {"demo"}, "its owner has not had its say yet"
    register.clock.advance(3_000)
    await a.directory.beat()
    assert a.directory.on_air() == set()


async def test_room_whose_owner_fell_silent_is_mourned_once() -> None:
    register, a, b = two()
    await b.own()
    register.clock.advance(6_000)
    await a.directory.beat()
    await a.directory.beat()
    assert a.vanished == ["demo"]


async def test_workers_of_one_node_know_each_other_and_share_a_secret() -> None:
    register = PaperRegister(FakeClock())
    a, b, far = Worker("a", register), Worker("b", register), Worker("c", register, node="m")
    for worker in (a, b, far, a):
        await worker.directory.beat()
    assert [card.worker for card in a.directory.neighbours()] == ["b"]
    assert a.directory.address("c") == "c.example:1"
    assert a.directory.secret == b.directory.secret == far.directory.secret
    await b.directory.leave()
    await a.directory.beat()
    assert a.directory.neighbours() == []


async def test_release_leaves_the_numbers_for_the_next_owner() -> None:
    register, a, b = two()
    claim = await a.directory.claim("demo")
    await a.directory.release(claim)
    assert register.owners == {}
    assert (await b.directory.claim("demo")).numbers == Numbers(500, 3)
