"""The composition root: settings in, one running node out. The only file that knows all the parts and joins them.

Everything is made by hand, keyword by keyword, and closed by one AsyncExitStack in the opposite order. No logic lives
here beyond what belongs to nobody else: the order of starting and stopping.

Stopping (SIGTERM, SIGINT): admit nobody, send the encoders away so that they connect elsewhere, answer every viewer
who waits for a part, end the continuous streams, close the sockets; all within `shutdown_ms`. A second signal exits at
once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from danmaku.gateway import RoomGateway
from danmaku.history import DanmakuHistory, SanctionShelf
from danmaku.ports import RoomFacts
from danmaku.settings import RoomSettings
from danmaku.socket import TransportSettings
from hls_packager.model import HlsSettings
from hls_packager.origin import Origin
from hls_packager.packager import Packager
from rtmp_ingest.limits import RtmpSettings
from rtmp_ingest.server import RtmpServer
from streamd import __version__, demo, preflight
from streamd.accounts.opening import open_accounts
from streamd.admission import PlayAdmission, PublishAdmission
from streamd.api.addresses import Addresses
from streamd.api.answering import Answering
from streamd.api.border import Border, CallRates
from streamd.api.broadcasting import BroadcastingApi
from streamd.api.docs import DocsApi
from streamd.api.moderation import ModerationApi
from streamd.api.mounting import Area, mount
from streamd.api.operations import OperationsApi
from streamd.api.pages import Pages
from streamd.api.picture_files import PictureFiles
from streamd.api.rooms import RoomsApi
from streamd.api.sessions import SessionsApi
from streamd.api.staff import StaffApi
from streamd.api.users import UsersApi
from streamd.chatting import ChatDesk, RoomBook, RoomIdentify, RoomOrder
from streamd.clock import SystemClock
from streamd.cluster.in_process import InProcessBus
from streamd.cluster.rates import InProcessRates, SharedRates
from streamd.cluster.redis import RedisBus
from streamd.db.engine import Database, open_engine, ping
from streamd.delivery.flv import FlvDelivery
from streamd.delivery.hls import HlsDelivery
from streamd.errors import NotFoundError, UnavailableError
from streamd.live.directory import InProcessDirectory
from streamd.live.fanout import FanOut
from streamd.live.gate import StreamGate
from streamd.live.health import StreamHealth
from streamd.live.hub import Hub, HubSettings
from streamd.live.stream import LiveStream, StreamSettings, StreamState
from streamd.pictures.store import Pictures
from streamd.reactions import Reactions
from streamd.settings import Settings
from streamd.telemetry import log as logging
from streamd.telemetry.log import get_log
from streamd.telemetry.loop_lag import watch_loop_lag
from streamd.telemetry.metrics import Metrics

PAGES = Path(__file__).parent / "web" / "dist"
# Longer than proxies keep idle connections to us (nginx: 60 s), or they would write into closed ones; short for those
# who connect and never speak. aiohttp's default is an hour.
KEEPALIVE_S = 75.0
BACKLOG = 1_024
# Of the time for stopping, what viewers get to take what is queued for them.
FAREWELL_S = 1.0
ORIGIN_SWEEP_S = 2.0


def run_node(settings: Settings, *, is_demo: bool, with_programme: bool) -> int:
    """Run a node until a signal ends it; the exit code. Raises SettingsProblems before anything is opened."""
    logging.configure(level=settings.log.level, form=settings.log.format)
    log = get_log("node")
    for warning in preflight.inspect(settings, pages=PAGES):
        log.warning("node.preflight", what=warning.what, why=warning.why, fix=warning.fix)
    return uvloop.run(_serve(settings, is_demo=is_demo, with_programme=with_programme))


async def _serve(settings: Settings, *, is_demo: bool, with_programme: bool) -> int:
    log = get_log("node")
    stopping = asyncio.Event()
    _on_signals(stopping)
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database)
        stack.push_async_callback(engine.dispose)
        node = Node(settings, engine=engine)
        stack.push_async_callback(node.close)
        if is_demo:
            await demo.seed(node.accounts)
        await node.listen()
        async with asyncio.TaskGroup() as tasks:
            parts = [tasks.create_task(part) for part in node.parts()]
            children = [tasks.create_task(demo.keep_programme(log=get_log("demo")))] if with_programme else []
            _settle_memory()
            log.info("node.ready", http=settings.public_origin, rtmp=settings.rtmp_url, version=__version__)
            if is_demo:
                print(_banner(settings), flush=True)
            await stopping.wait()
            log.info("node.stopping")
            for child in children:
                child.cancel()
            await node.stop()
            for part in parts:
                part.cancel()
    log.info("node.stopped")
    return 0


class Node:
    """All the parts, joined. Nothing is open before `listen`; nothing moves before `parts` run."""

    def __init__(self, settings: Settings, *, engine: Database) -> None:
        self._settings = settings
        self._engine = engine
        self._clock = SystemClock()
        self._metrics = Metrics()
        self._bus = self._open_bus()
        self.accounts = open_accounts(
            engine=engine,
            clock=self._clock,
            data_dir=settings.data_dir,
            throttle=self._rates(),
            log=get_log("accounts"),
        )
        self.rooms = self.accounts.rooms
        self._history = DanmakuHistory(engine=engine, clock=self._clock)
        self._gateway = RoomGateway(
            bus=self._bus,
            directory=self,
            identify=RoomIdentify(identities=self.accounts.identities),
            clock=self._clock,
            book=RoomBook(rooms=self.rooms, shelf=SanctionShelf(engine=engine, clock=self._clock)),
            archive=self._history,
            settings=RoomSettings(transport=TransportSettings(trust_forwarded_for=settings.http.behind_proxy)),
        )
        self._reactions = Reactions(notices=self._gateway, log=get_log("reactions"))
        self._hls_settings = HlsSettings(
            segment_ms=settings.hls.segment_ms,
            part_ms=settings.hls.part_ms,
            window_segments=settings.hls.window_segments,
        )
        self._origin = Origin(clock=self._clock, settings=self._hls_settings)
        self._hub = Hub(
            clock=self._clock,
            directory=InProcessDirectory(worker="0", clock=self._clock),
            log=get_log("live"),
            settings=HubSettings(stream=StreamSettings(grace_ms=settings.live.grace_ms)),
            sinks=self._sinks,
            on_fact=self._reactions.on_stream,
        )
        self._gate = self._make_gate()
        self._fanout = FanOut(
            hub=self._hub,
            check=PlayAdmission(playback=self.accounts.playback),
            clock=self._clock,
            log=get_log("live"),
            timers=asyncio.get_running_loop(),
        )
        self._rtmp = self._make_rtmp()
        self._hls = HlsDelivery(
            origin=self._origin,
            rooms=self.rooms,
            clock=self._clock,
            watch=self.accounts.playback,
            address_of=self._address_of,
        )
        self._flv = FlvDelivery(gate=self._fanout, address_of=self._address_of)
        self._http = self._make_http()
        for collect in (self._hub.collect, self._fanout.collect, self._origin.collect, self._gateway.metrics):
            self._metrics.collect_from(collect)

    # --- how it is joined ---

    def _open_bus(self) -> InProcessBus | RedisBus:
        url = self._settings.redis_url.get_secret_value()
        return RedisBus(url, clock=self._clock) if url else InProcessBus(clock=self._clock)

    def _rates(self) -> InProcessRates | SharedRates:
        if isinstance(self._bus, RedisBus):
            return SharedRates(clock=self._clock, shared=self._bus)
        return InProcessRates(clock=self._clock)

    def _sinks(self, stream: LiveStream) -> list[Packager]:
        return [
            Packager(
                room=stream.room,
                store=self._origin.open(stream.room),
                settings=self._hls_settings,
                log=get_log("hls"),
                utc_ms=stream.timeline.utc_ms,
            )
        ]

    def _make_gate(self) -> StreamGate:
        admission = PublishAdmission(
            keys=self.accounts.keys,
            rooms=self.rooms,
            secret=self.accounts.secret,
        )
        return StreamGate(hub=self._hub, keys=admission, clock=self._clock, log=get_log("live"))

    def _make_rtmp(self) -> RtmpServer:
        settings = self._settings
        return RtmpServer(
            gate=self._gate,
            play_gate=self._fanout,
            clock=self._clock,
            metrics=self._metrics,
            log=get_log("rtmp"),
            settings=RtmpSettings(
                host=settings.rtmp.host,
                port=settings.rtmp.port,
                tls_port=settings.rtmps.port if settings.rtmps.cert else None,
            ),
            ssl_context=preflight.tls_context(settings),
        )

    def _make_http(self) -> web.AppRunner:
        origin = self._settings.public_origin
        application = web.Application()
        application.add_routes([*self._hls.routes(), *self._flv.routes()])
        self._gateway.attach(application)
        areas: list[Area] = [
            *self._account_areas(Addresses(origin=origin, rtmp_url=self._settings.rtmp_url)),
            OperationsApi(
                metrics=self._metrics,
                checks={"database": lambda: ping(self._engine), "bus": self._check_bus},
                version=__version__,
            ),
            Pages(folder=PAGES),
        ]
        answering = Answering(
            log=get_log("http"),
            metrics=self._metrics,
            clock=self._clock,
            origin=origin,
            others=self._settings.http.cors_origins,
        )
        border = Border(
            who=self.accounts.identities,
            throttle=self.accounts.throttle,
            recorder=self.accounts.audit,
            answers=self.accounts.answers,
            address_of=self._address_of,
            rates=CallRates(
                write_interval_ms=1_000 // self._settings.api.writes_per_s,
                write_burst=6 * self._settings.api.writes_per_s,
            ),
        )
        docs = DocsApi(version=__version__, server=origin)
        mount(application, areas, docs=docs, answering=answering, border=border)
        return web.AppRunner(application, access_log=None, keepalive_timeout=KEEPALIVE_S, shutdown_timeout=FAREWELL_S)

    def _account_areas(self, addresses: Addresses) -> list[Area]:
        accounts, clock = self.accounts, self._clock
        pictures = Pictures(engine=self._engine, clock=clock)
        return [
            RoomsApi(rooms=self.rooms, live=self, clock=clock, addresses=addresses),
            SessionsApi(sessions=accounts.sessions),
            UsersApi(
                users=accounts.users,
                sessions=accounts.sessions,
                members=accounts.members,
                throttle=accounts.throttle,
            ),
            StaffApi(
                members=accounts.members,
                invitations=accounts.invitations,
                audit=accounts.audit,
                origin=addresses.origin,
            ),
            BroadcastingApi(
                rooms=self.rooms,
                keys=accounts.keys,
                playback=accounts.playback,
                pictures=pictures,
                live=self._gate,
                chat=ChatDesk(rooms=self.rooms, teller=self._gateway),
                addresses=addresses,
                clock=clock,
            ),
            ModerationApi(orderly=RoomOrder(rooms=self.rooms, warden=self._gateway), clock=clock),
            PictureFiles(pictures=pictures, rooms=self.rooms, clock=clock),
        ]

    # --- what the parts ask of each other through here ---

    def _address_of(self, request: web.Request) -> str:
        """Whose request it is. Behind a proxy of ours the last address of X-Forwarded-For, which the proxy wrote."""
        if self._settings.http.behind_proxy:
            forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            if forwarded:
                return forwarded
        return request.remote or ""

    def on_air(self) -> set[str]:
        """See `streamd.api.rooms.LiveRooms`."""
        return {stream.room for stream in self._hub.streams() if stream.state is StreamState.ON_AIR}

    def health(self, room: str) -> StreamHealth | None:
        """See `streamd.api.rooms.LiveRooms`."""
        return self._hub.health(room)

    async def facts(self, room: str) -> RoomFacts | None:
        """See `danmaku.ports.RoomDirectory`."""
        try:
            known = await self.rooms.get(room)
        except NotFoundError:
            return None
        stream = self._hub.find(room)
        return RoomFacts(title=known.title, live=stream is not None and stream.state is StreamState.ON_AIR)

    async def _check_bus(self) -> None:
        if not self._bus.ready():
            raise UnavailableError("the bus is not heard", why="Redis is away, or its messages do not reach this node")

    # --- its life ---

    async def listen(self) -> None:
        """Bind the ports. Who connects before the parts run waits in the kernel. Raises OSError."""
        self._rtmp.listen()
        await self._http.setup()
        http = self._settings.http
        await web.TCPSite(self._http, http.host, http.port, backlog=BACKLOG).start()

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the node does, each to be made a task."""
        return [
            self._rtmp.run(),
            self._hub.run(),
            *([self._bus.run()] if isinstance(self._bus, RedisBus) else []),
            self._gateway.run(),
            self._history.run(),
            self._reactions.run(),
            self._sweep_origin(),
            watch_loop_lag(clock=self._clock, metrics=self._metrics, log=get_log("node")),
        ]

    async def _sweep_origin(self) -> None:
        while True:
            await asyncio.sleep(ORIGIN_SWEEP_S)
            self._origin.sweep()

    async def stop(self) -> None:
        """See the module's promise. The parts still run, and may be cancelled afterwards."""
        within_ms = self._settings.shutdown_ms // 2
        for site in list(self._http.sites):
            await site.stop()
        self._gate.drain()
        self._hls.close()
        self._fanout.close()
        self._flv.close()
        async with asyncio.TaskGroup() as leaving:
            leaving.create_task(self._rtmp.stop("shutdown", within_ms=within_ms))
            leaving.create_task(self._gateway.close(within_ms=within_ms))
        await self._http.cleanup()
        await self._hub.close()

    async def close(self) -> None:
        """Let go of what `parts` used, after they ended."""
        if isinstance(self._bus, RedisBus):
            await self._bus.aclose()


def _on_signals(stopping: asyncio.Event) -> None:
    def handle(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)  # asked twice: at once, whatever is under way
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)


def _settle_memory() -> None:
    """Keep the cycle collector away from what never becomes garbage.

    Modules, routes and models live as long as the process: frozen, they are not walked any more. Frames and parts are
    freed by their reference counts, so cycles are few and there is no hurry to look for them. Measured with six
    publishers: by default one full walk in 20 s, which held the loop, and so everybody, for 110 ms and more; none now.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _banner(settings: Settings) -> str:
    origin = settings.public_origin
    return "\n".join(
        [
            "",
            f"streamd {__version__} is ready.",
            "",
            f"  watch page    {origin}/watch/{demo.ROOM}",
            f"  studio page   {origin}/studio/{demo.ROOM}",
            f"  OBS           server      {settings.rtmp_url}",
            f"                stream key  {demo.STREAM_KEY}",
            f"  by ffmpeg     ffmpeg -re -i FILE -c copy -f flv {settings.rtmp_url}/{demo.STREAM_KEY}",
            f"  API           {origin}/api/docs",
            f"  people        {', '.join(demo.PEOPLE)}; password {demo.PASSWORD}",
            "",
            "An encoder with that key replaces the synthetic programme. Ctrl-C stops the server.",
            "",
        ]
    )
