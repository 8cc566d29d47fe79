"""What every bus promises, held against each one: in the process, over Redis, over a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streamd.clock import SystemClock
from streamd.cluster.bus import (
    DROP,
    INTERNAL,
    MAX_DRAFT_BYTES,
    STATE,
    A,
    Admission,
    Batch,
    C,
    Draft,
    Limit,
    PulseReport,
    Verdict,
    pack_draft,
    unpack_drafts,
)
from streamd.cluster.in_process import InProcessBus, VisitorSketch
from streamd.cluster.redis import RedisBus
from streamd.errors import InvalidError
from tests.support.redis import free_port, redis_server

Bus = InProcessBus | RedisBus
KINDS = ["in_process", "redis", "cluster"]


@asynccontextmanager
async def a_bus(kind: str, *, log: int = 2_000) -> AsyncIterator[Bus]:
    clock = SystemClock()
    if kind == "in_process":
        yield InProcessBus(clock=clock, log_events=log)
        return
    # Its bus port would be the port plus 10 000, which there may not be.
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port())) if kind == "cluster" else ()
    async with redis_server(*options) as server:
        url = server.url
        if kind == "cluster":
            async with server.client() as client:
                await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
                while b"cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            url = f"redis+cluster://127.0.0.1:{server.port}"
        bus = RedisBus(url, clock=clock, log_batches=log)
        running = asyncio.get_running_loop().create_task(bus.run())
        async with asyncio.timeout(30):
            while not bus.ready():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        try:
            yield bus
        finally:
            running.cancel()
            await asyncio.wait([running])
            await bus.aclose()


def note(text: str = "x", **kwargs: object) -> Draft:
    return Draft(A, "notice", f'"t":"{text}"}}'.encode(), **kwargs)  # type: ignore[arg-type]


async def append(bus: Bus, *drafts: Draft, number: int, taken: int = 0, node: str = "n", min_seq: int = 0) -> Batch:
    return await bus.append(
        "demo",
        drafts,
        taken=taken or len(drafts),
        batch_id=f"{node}:{number}",
        min_seq=min_seq,
        at_ms=SystemClock().utc_ms(),
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_numbers_grow_listeners_hear_and_the_log_replays(kind: str) -> None:
    async with a_bus(kind) as bus:
        heard: asyncio.Queue[Batch] = asyncio.Queue()
        await bus.listen("demo", heard.put_nowait)
        one = await append(bus, note("你好"), note("two"), number=1)
        two = await append(bus, note("three"), number=2, taken=4)
        assert (one.prev, one.first, one.last) == (0, 1, 2)
        assert (two.prev, two.first, two.last) == (2, 3, 6)
        async with asyncio.timeout(30):
            assert [await heard.get(), await heard.get()] == [one, two]
        assert one.drafts[0].body(1) == '{"seq":1,"t":"你好"}'.encode()
        assert await bus.replay("demo", epoch=one.epoch, after_seq=0) == (one, two)
        assert await bus.replay("demo", epoch=one.epoch, after_seq=2) == (two,)
        assert await bus.replay("demo", epoch=one.epoch, after_seq=6) == ()
        assert await bus.replay("demo", epoch="other", after_seq=0) is None
        await bus.unlisten("demo", heard.put_nowait)
        await append(bus, note("unheard"), number=3)
        await asyncio.sleep(0.05)
        assert heard.empty()


@pytest.mark.parametrize("kind", KINDS)
async def test_same_batch_handed_in_again_gets_the_same_numbers_and_is_told_once(kind: str) -> None:
    async with a_bus(kind) as bus:
        heard: asyncio.Queue[Batch] = asyncio.Queue()
        await bus.listen("demo", heard.put_nowait)
        first = await append(bus, note(), number=7)
        again = await append(bus, note(), number=7)
        other = await append(bus, note(), number=7, node="m")
        assert (again.first, again.prev) == (first.first, first.prev)
        assert other.first == 2
        async with asyncio.timeout(30):
            assert [(await heard.get()).first for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
async def test_counter_is_lifted_and_never_lowered(kind: str) -> None:
    async with a_bus(kind) as bus:
        await append(bus, note(), number=1)
        lifted = await append(bus, note(), number=2, min_seq=1_000)
        assert (lifted.prev, lifted.first) == (1, 1_001)
        assert (await append(bus, note(), number=3, min_seq=5)).first == 1_002
        assert await bus.replay("demo", epoch=lifted.epoch, after_seq=1) is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_log_that_does_not_reach_back_says_so(kind: str) -> None:
    async with a_bus(kind, log=150) as bus:
        for number in range(1, 401):
            batch = await append(bus, note(), number=number)
        assert await bus.replay("demo", epoch=batch.epoch, after_seq=3) is None
        tail = await bus.replay("demo", epoch=batch.epoch, after_seq=380)
        assert tail is not None
        assert [each.first for each in tail] == list(range(381, 401))


@pytest.mark.parametrize("kind", KINDS)
async def test_recall_gives_state_counts_and_log_together(kind: str) -> None:
    async with a_bus(kind) as bus:
        empty = await bus.recall("demo")
        assert (empty.seq, empty.state, empty.batches) == (0, {}, ())
        card = Draft(A, "card", b'"v":1}', "card", STATE)
        secret = Draft(A, "chat", b"}", "chat", STATE | INTERNAL)
        batch = await append(bus, note(), card, secret, Draft(C, "danmaku", b"}", "m1"), number=1)
        memory = await bus.recall("demo")
        assert memory.epoch == empty.epoch == batch.epoch
        assert memory.seq == 4
        assert {key: entry.seq for key, entry in memory.state.items()} == {"card": 2, "chat": 3}
        assert memory.state["card"].draft == card
        assert memory.batches == (batch,)
        await append(bus, card._replace(flags=DROP), number=2)
        assert set((await bus.recall("demo")).state) == {"chat"}


@pytest.mark.parametrize("kind", KINDS)
async def test_counts_are_summed_over_nodes_once_however_often_reported(kind: str) -> None:
    async with a_bus(kind) as bus:

        def report(node: str, number: int, online: int, likes: int, *visitors: str, at_ms: int = 0) -> PulseReport:
            return PulseReport(
                node=node, number=number, online=online, likes=likes, visitors=visitors, now_ms=at_ms, ttl_ms=6_000
            )

        await bus.pulse("demo", report("a", 1, 10, 5, "v1", "v2"))
        await bus.pulse("demo", report("a", 1, 10, 5, "v1", "v2"))
        pulse = await bus.pulse("demo", report("b", 1, 7, 2, "v2", "v3"))
        assert (pulse.online, pulse.peak, pulse.likes, pulse.unique, pulse.nodes) == (17, 17, 7, 3, 2)
        pulse = await bus.pulse("demo", report("b", 2, 0, 0, at_ms=1_000))
        assert (pulse.online, pulse.peak, pulse.nodes) == (10, 17, 1)
        pulse = await bus.pulse("demo", report("b", 3, 4, 0, at_ms=7_000))
        assert (pulse.online, pulse.peak) == (4, 17)
        memory = await bus.recall("demo")
        assert (memory.likes, memory.peak, memory.unique) == (7, 17, 3)


@pytest.mark.parametrize("kind", KINDS)
async def test_messages_are_admitted_once_and_within_limits_charged_all_or_none(kind: str) -> None:
    async with a_bus(kind) as bus:
        now_ms = SystemClock().utc_ms()
        tight, wide = Limit("u:1", 60_000, 2), Limit("room", 60_000, 3)

        async def ask(ident: str, *limits: Limit) -> Verdict:
            [verdict] = await bus.admit("demo", [Admission(ident, limits)], now_ms=now_ms)
            return verdict

        assert await ask("a", tight, wide) == Verdict("ok")
        assert await ask("a", tight, wide) == Verdict("again", 0)
        await bus.settle("demo", {"a": 41}, now_ms=now_ms)
        assert await ask("a", tight, wide) == Verdict("again", 41)
        assert (await ask("b", tight, wide)).kind == "ok"
        refused = await ask("c", wide, tight)
        assert refused == Verdict("limited", 0, "u:1", 60_000)
        assert (await ask("d", wide)).kind == "ok"
        assert (await ask("e", wide)).limit == "room"
        await bus.settle("demo", {"a": 0}, now_ms=now_ms)
        assert (await ask("a", Limit("other", 1, 1))).kind == "ok"
        verdicts = await bus.admit(
            "demo", [Admission(f"x{n}", (Limit("x", 1_000, 3),)) for n in range(5)], now_ms=now_ms
        )
        assert [verdict.kind for verdict in verdicts] == ["ok"] * 3 + ["limited"] * 2


@pytest.mark.parametrize("kind", KINDS)
async def test_event_that_is_too_large_is_refused_before_it_is_numbered(kind: str) -> None:
    async with a_bus(kind) as bus:
        with pytest.raises(InvalidError):
            await append(bus, Draft(A, "notice", b"x" * (MAX_DRAFT_BYTES + 1)), number=1)
        assert (await bus.recall("demo")).seq == 0


def test_drafts_survive_packing() -> None:
    drafts = (
        Draft(A, "card", b'"title":"\xe6\x9d\xaf"}', "card", STATE),
        Draft(C, "danmaku", b"}", "编号", 0, "u1"),
        Draft(A, "x", b"}"),
    )
    assert unpack_drafts(b"".join(pack_draft(draft) for draft in drafts)) == drafts


def test_sketch_counts_visitors_to_two_percent() -> None:
    for count in (0, 1, 100, 5_000, 100_000):
        sketch = VisitorSketch()
        for visitor in range(count):
            sketch.add(f"visitor-{visitor}")
            if visitor % 10 == 0:
                sketch.add(f"visitor-{visitor}")
        assert abs(sketch.count() - count) <= max(1, count * 0.025)
