"""Two workers in one process, over real HTTP on loopback and a register in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from hls_packager.model import HlsSettings
from hls_packager.origin import Origin
from hls_packager.packager import Packager
from streamd.cluster.register import Holding, Numbers, WorkerCard
from streamd.errors import ConflictError, UnavailableError
from streamd.internal.elsewhere import OtherOwners
from streamd.internal.endpoint import InternalEndpoint
from streamd.internal.following import Following, FollowSettings
from streamd.internal.forwarding import Forwarder
from streamd.internal.mirrors import Mirrors
from streamd.internal.peers import Peers
from streamd.live.shared_directory import SharedDirectory
from streamd.live.stream import LiveStream
from streamd.telemetry.metrics import Metrics
from tests.live.stage import PaperSink, SilentLog, Stage
from tests.support.clock import FakeClock
from tests.support.register import PaperRegister


class Worker:
    """A stage with everything that makes it one of several."""

    def __init__(self, name: str, register: PaperRegister, stack: AsyncExitStack) -> None:
        self.name = name
        self._register = register
        self._stack = stack
        self.origin = Origin(clock=register.clock, settings=HlsSettings())
        self.stage = Stage(sinks=self._sinks)
        stage = self.stage
        stage.clock = stage.hub._clock = stage.gate._clock = register.clock

    def _sinks(self, stream: LiveStream) -> list[Packager]:
        store = self.origin.open(stream.room, least_msn=stream.claim.numbers.media)
        return [Packager(room=stream.room, store=store, settings=HlsSettings(), log=SilentLog())]

    async def start(self, tasks: asyncio.TaskGroup, routes: list[web.RouteDef]) -> None:
        stage = self.stage
        endpoint = self.endpoint = InternalEndpoint(
            hub=stage.hub,
            gate=stage.gate,
            origin=self.origin,
            metrics=Metrics(),
            secret=lambda: self.directory.secret,
            on_owned=lambda owner: self.directory.hear(owner),
        )
        application = endpoint.application()
        application.add_routes(routes)
        self.server = TestServer(application)
        await self.server.start_server()
        self._stack.push_async_callback(self.server.close)
        self._stack.callback(endpoint.close)
        self.directory = SharedDirectory(
            register=self._register,
            card=WorkerCard(self.name, "n", 0, f"{self.server.host}:{self.server.port}"),
            clock=self._register.clock,
            log=SilentLog(),
            holdings=lambda: [
                Holding(each.room, each.claim.epoch, True, Numbers(*self.origin.numbers(each.room)))
                for each in stage.hub.streams()
            ],
            numbers=lambda room: Numbers(*self.origin.numbers(room)),
            on_lost=lambda room, epoch: stage.gate.give_up(room, epoch=epoch),
            on_vanished=lambda _room: None,
        )
        self.peers = Peers(directory=self.directory)
        self._stack.push_async_callback(self.peers.close)
        self.owners = OtherOwners(directory=self.directory, peers=self.peers, log=SilentLog())
        following = Following(
            directory=self.directory,
            peers=self.peers,
            clock=self._register.clock,
            log=SilentLog(),
            settings=FollowSettings(grace_ms=45_000),
        )
        self.mirrors = Mirrors(
            directory=self.directory, following=following, origin=self.origin, clock=self._register.clock
        )
        stage.hub._directory, stage.hub._on_moved = self.directory, self.origin.withdraw
        stage.gate._elsewhere = self.owners
        self.running = [tasks.create_task(part) for part in (self.mirrors.run(), self.owners.run())]

    async def on_air(self, ms: int = 4_000) -> None:
        encoder = self.encoder = await self.stage.encoder()
        encoder.announce()
        encoder.run(ms)
        await self.directory.beat()


@asynccontextmanager
async def two_workers(routes: list[web.RouteDef] | None = None) -> AsyncIterator[tuple[Worker, Worker]]:
    register = PaperRegister(FakeClock())
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        workers = Worker("a", register, stack), Worker("b", register, stack)
        for worker in workers:
            await worker.start(tasks, routes or [])
        for worker in (*workers, workers[0]):
            await worker.directory.beat()
        await asyncio.sleep(0)  # the parts run
        try:
            yield workers
        finally:
            for worker in workers:
                worker.endpoint.close()
                for part in worker.running:
                    part.cancel()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # bytes cross a socket
            await asyncio.sleep(0.005)


async def test_viewers_of_one_worker_get_the_store_of_the_other_once_however_many_ask() -> None:
    async with two_workers() as (a, b):
        assert not await b.mirrors.hls("demo"), "nobody owns it"
        await a.on_air()
        b._register.clock.advance(300)
        asked = await asyncio.gather(*(b.mirrors.hls("demo") for _ in range(20)))
        assert all(asked)
        assert b.mirrors.begun == 1
        mine, copy = a.origin.find("demo", "source"), b.origin.find("demo", "source")
        assert mine is not None
        assert copy is not None
        await until(lambda: copy.playable)
        a.encoder.run(3_000)
        await until(lambda: copy.next_numbers == mine.next_numbers and copy.resident_bytes == mine.resident_bytes)
        assert copy.rendering().body == mine.rendering().body


async def test_mirror_that_nobody_asks_for_is_given_up() -> None:
    async with two_workers() as (a, b):
        await a.on_air()
        await b.mirrors.hls("demo")
        await until(lambda: a.endpoint._pipes)
        b.mirrors.sweep()
        b._register.clock.advance(11_000)
        b.mirrors.sweep()
        await until(lambda: b.origin.find("demo", "source") is None)
        await a.directory.beat()  # its lease had run out by this clock
        assert await b.mirrors.hls("demo"), "and begun again for the next one"


async def test_frames_cross_and_the_stream_ends_with_its_owner() -> None:
    async with two_workers() as (a, b):
        await a.on_air()
        stream = await b.mirrors.stream("demo")
        assert stream is not None
        sink = PaperSink()
        stream.attach(sink)
        a.encoder.run(400)
        await until(lambda: len(sink.frames) >= 25)
        a.stage.hub.end(a.stage.stream(), "over")
        await until(lambda: stream.has_ended)  # type: ignore[attr-defined]  # a mirror is one
        assert not b.mirrors._frames["demo"].follower.was_wanted()
        assert await b.mirrors.stream("nobody") is None


async def test_takeover_moves_viewers_of_both_workers_to_the_new_owner() -> None:
    async with two_workers() as (a, b):
        await a.on_air()
        await b.mirrors.hls("demo")
        old, mirror = a.origin.find("demo", "source"), b.origin.find("demo", "source")
        assert old is not None
        assert mirror is not None
        await until(lambda: mirror.playable)
        numbers = old.next_numbers
        a._register.clock.advance(1_500)
        await b.on_air(3_000)
        await until(lambda: a.encoder.publisher.evicted)
        assert a.encoder.publisher.evicted == ["replaced"]
        assert mirror.is_withdrawn, "what b showed before was a's"
        assert old.is_withdrawn
        assert b"ENDLIST" not in old.rendering().body
        own = b.origin.find("demo", "source")
        assert own is not None
        assert own.next_numbers > numbers
        assert await a.mirrors.hls("demo")
        copy = a.origin.find("demo", "source")
        assert copy is not None
        await until(lambda: copy.next_numbers == own.next_numbers)


async def test_refusal_of_an_owner_reaches_the_newcomer_on_the_other_worker() -> None:
    async with two_workers() as (a, b):
        await a.on_air()
        with pytest.raises(ConflictError, match="belongs to its encoder"):
            await b.stage.encoder(kind="programme")
        assert a.stage.hub.find("demo") is not None


async def test_cut_and_health_reach_the_owner_from_everywhere() -> None:
    async with two_workers() as (a, b):
        await a.on_air()
        b._register.clock.advance(300)
        health = await b.owners.health("demo")
        assert health is not None
        assert health == a.stage.hub.health("demo")
        assert await b.owners.health("nobody") is None
        await b.directory.beat()
        b.owners.cut("demo", "cut")
        await until(lambda: a.encoder.publisher.evicted)
        assert a.stage.hub.find("demo") is None


async def test_owner_that_is_late_serves_no_mirror_that_knows_better() -> None:
    async with two_workers() as (a, b):
        await a.on_air()
        epoch = a.stage.stream().claim.epoch
        async with b.peers.records("a", f"/internal/streams/demo/store?epoch={epoch}") as records:
            assert await anext(aiter(records))
        with pytest.raises(UnavailableError):
            async with b.peers.records("a", f"/internal/streams/demo/store?epoch={epoch + 1}"):
                pass


async def test_who_does_not_share_the_secret_is_not_answered() -> None:
    async with two_workers() as (_, b):
        b.directory.secret = b"another one"
        with pytest.raises(UnavailableError):
            await b.peers.ask("a", "GET", "/internal/metrics")


async def test_request_is_forwarded_once_and_its_answer_comes_back_as_it_was() -> None:
    async def echo(request: web.Request) -> web.Response:
        said = await request.text()
        return web.Response(status=201, text=f"{request.raw_path} {said}", headers={"X-Said": request.headers["X-Ask"]})

    async with two_workers([web.post("/there", echo)]) as (_, b):
        forwarder = Forwarder(peers=b.peers)

        async def handle(request: web.Request) -> web.StreamResponse:
            return await forwarder.forward(request, request.query["to"])

        application = web.Application()
        application.router.add_post("/there", handle)
        async with TestServer(application) as public:
            url = URL(f"http://{public.host}:{public.port}/there?to=a&x=%2F", encoded=True)
            async with b.peers.session.post(url, data=b"hello", headers={"X-Ask": "yes"}) as answer:
                assert (answer.status, answer.headers["X-Said"]) == (201, "yes")
                assert await answer.text() == "/there?to=a&x=%2F hello"
            async with b.peers.session.post(public.make_url("/there?to=gone")) as answer:
                assert answer.status == 404
            async with b.peers.session.post(url, headers=b.peers.headers()) as answer:
                assert answer.status == 404, "a request goes round no second time"
