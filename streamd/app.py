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
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop
from aiohttp import web

from hls_packager.model import HlsSettings
from hls_packager.origin import Origin
from hls_packager.packager import Packager
from rtmp_ingest.limits import RtmpSettings
from rtmp_ingest.server import RtmpServer
from streamd import __version__, demo, preflight
from streamd.accounts.node_secret import open_node_secret
from streamd.accounts.rooms import Rooms
from streamd.accounts.stream_keys import StreamKeys
from streamd.admission import PlayAdmission, PublishAdmission
from streamd.api.answering import Answering
from streamd.api.docs import DocsApi
from streamd.api.mounting import Area, mount
from streamd.api.operations import OperationsApi
from streamd.api.pages import Pages
from streamd.api.rooms import RoomsApi
from streamd.clock import Clock, SystemClock
from streamd.db.engine import open_engine, ping
from streamd.delivery.flv import FlvDelivery
from streamd.delivery.hls import HlsDelivery
from streamd.live.directory import InProcessDirectory
from streamd.live.fanout import FanOut
from streamd.live.gate import StreamGate
from streamd.live.hub import Hub, HubSettings
from streamd.live.stream import LiveStream, StreamSettings, StreamState
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
        node = await _open(stack, settings)
        if is_demo:
            await demo.seed(node.rooms)
        await node.listen(settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(node.rtmp.run())
            background = [
                tasks.create_task(node.hub.run()),
                tasks.create_task(_sweep(node.origin)),
                tasks.create_task(watch_loop_lag(clock=node.clock, metrics=node.metrics, log=log)),
            ]
            if with_programme:
                background.append(tasks.create_task(demo.keep_programme(log=get_log("demo"))))
            _settle_memory()
            log.info("node.ready", http=settings.public_origin, rtmp=settings.rtmp_url, version=__version__)
            if is_demo:
                print(_banner(settings), flush=True)
            await stopping.wait()
            log.info("node.stopping")
            for task in background:
                task.cancel()
            await node.stop(settings.shutdown_ms)
    log.info("node.stopped")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The parts that are started and stopped."""

    clock: Clock
    metrics: Metrics
    rooms: Rooms
    hub: Hub
    gate: StreamGate
    fanout: FanOut
    origin: Origin
    hls: HlsDelivery
    flv: FlvDelivery
    rtmp: RtmpServer
    http: web.AppRunner

    async def listen(self, settings: Settings) -> None:
        """Bind the ports. What comes before the node is ready waits in the kernel."""
        await self.rtmp.start()
        await self.http.setup()
        await web.TCPSite(self.http, settings.http.host, settings.http.port, backlog=BACKLOG).start()

    async def stop(self, within_ms: int) -> None:
        """See the module's promise."""
        for site in list(self.http.sites):
            await site.stop()
        self.gate.drain()
        self.hls.close()
        self.fanout.close()
        self.flv.close()
        await self.rtmp.stop("shutdown", within_ms=within_ms // 2)
        await self.http.cleanup()
        await self.hub.close()


async def _open(stack: AsyncExitStack, settings: Settings) -> Node:
    clock, metrics = SystemClock(), Metrics()
    engine = open_engine(settings.database)
    stack.push_async_callback(engine.dispose)
    rooms = Rooms(engine=engine, clock=clock)
    keys = StreamKeys(engine=engine, clock=clock)
    secret = open_node_secret(settings.data_dir)

    hls_settings = HlsSettings(
        segment_ms=settings.hls.segment_ms,
        part_ms=settings.hls.part_ms,
        window_segments=settings.hls.window_segments,
    )
    origin = Origin(clock=clock, settings=hls_settings)

    def sinks(stream: LiveStream) -> list[Packager]:
        return [
            Packager(
                room=stream.room,
                store=origin.open(stream.room),
                settings=hls_settings,
                log=get_log("hls"),
                utc_ms=stream.timeline.utc_ms,
            )
        ]

    hub = Hub(
        clock=clock,
        directory=InProcessDirectory(worker="0", clock=clock),
        log=get_log("live"),
        settings=HubSettings(stream=StreamSettings(grace_ms=settings.live.grace_ms)),
        sinks=sinks,
    )
    gate = StreamGate(
        hub=hub,
        keys=PublishAdmission(keys=keys, rooms=rooms, secret=secret),
        clock=clock,
        log=get_log("live"),
    )
    fanout = FanOut(
        hub=hub,
        check=PlayAdmission(rooms=rooms),
        clock=clock,
        log=get_log("live"),
        timers=asyncio.get_running_loop(),
    )
    rtmp = RtmpServer(
        gate=gate,
        play_gate=fanout,
        clock=clock,
        metrics=metrics,
        log=get_log("rtmp"),
        settings=RtmpSettings(
            host=settings.rtmp.host,
            port=settings.rtmp.port,
            tls_port=settings.rtmps.port if settings.rtmps.cert else None,
        ),
        ssl_context=preflight.tls_context(settings),
    )
    metrics.collect_from(hub.collect)
    metrics.collect_from(fanout.collect)
    hls = HlsDelivery(origin=origin, rooms=rooms, clock=clock)
    flv = FlvDelivery(gate=fanout)

    application = web.Application()
    application.add_routes([*hls.routes(), *flv.routes()])
    areas: list[Area] = [
        RoomsApi(rooms=rooms, live=_OnAir(hub), clock=clock),
        OperationsApi(metrics=metrics, checks={"database": lambda: ping(engine)}, version=__version__),
        Pages(folder=PAGES),
    ]
    answering = Answering(log=get_log("http"), metrics=metrics, clock=clock, origin=settings.public_origin)
    mount(application, areas, docs=DocsApi(version=__version__, server=settings.public_origin), answering=answering)
    http = web.AppRunner(application, access_log=None, keepalive_timeout=KEEPALIVE_S, shutdown_timeout=FAREWELL_S)
    return Node(
        clock=clock,
        metrics=metrics,
        rooms=rooms,
        hub=hub,
        gate=gate,
        fanout=fanout,
        origin=origin,
        hls=hls,
        flv=flv,
        rtmp=rtmp,
        http=http,
    )


async def _sweep(origin: Origin) -> None:
    while True:
        await asyncio.sleep(ORIGIN_SWEEP_S)
        origin.sweep()


class _OnAir:
    """The hub as the API asks it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.health = hub.health

    def on_air(self) -> Collection[str]:
        return {stream.room for stream in self._hub.streams() if stream.state is StreamState.ON_AIR}


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
    freed by their reference counts, so cycles are few and there is no hurry to look for them; with the default
    thresholds (700 allocations) a server under load looks hundreds of times a second, and finds nothing.
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
            "",
            "An encoder with that key replaces the synthetic programme. Ctrl-C stops the server.",
            "",
        ]
    )
