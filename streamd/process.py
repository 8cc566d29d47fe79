"""A node as processes: one that opens the database and serves until a signal ends it, or a supervisor of several such.

SIGTERM and SIGINT stop a worker as `streamd.app` describes; a second signal exits at once. See `streamd.supervisor` for
what a supervisor does with signals.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from streamd import __version__, demo, demo_audience, demo_goods, preflight
from streamd.app import PAGES, Node
from streamd.db.engine import open_engine
from streamd.settings import Settings
from streamd.supervisor import Supervisor, SupervisorSettings, WorkerPlace, supervise, tell_serving
from streamd.telemetry import log as logging
from streamd.telemetry.log import Log, get_log


def run_node(settings: Settings, *, is_demo: bool, with_programme: bool) -> int:
    """Run a node of `settings.workers` processes until a signal ends it; the exit code.

    Raises SettingsProblems before anything is opened, StreamdError where a worker cannot be kept.
    """
    log = _configure(settings)
    for warning in preflight.inspect(settings, pages=PAGES):
        log.warning("node.preflight", what=warning.what, why=warning.why, fix=warning.fix)
    if settings.workers == 1:
        return uvloop.run(_serve(settings, is_demo=is_demo, with_programme=with_programme))
    flags = [*["--demo"] * is_demo, "--programme" if with_programme else "--no-programme"]

    def command(place: WorkerPlace) -> list[str]:
        workers = ["--workers", str(settings.workers), "--worker", str(place)]
        return [sys.executable, "-m", "streamd", "serve", *flags, *workers]

    async def keep_workers() -> None:
        supervisor = Supervisor(
            command=command,
            settings=SupervisorSettings(workers=settings.workers, shutdown_ms=settings.shutdown_ms),
            log=get_log("supervisor"),
            on_ready=lambda: print(_banner(settings), flush=True) if is_demo else None,
        )
        await supervise(supervisor)

    uvloop.run(keep_workers())
    return 0


def run_worker(settings: Settings, place: WorkerPlace, *, is_demo: bool, with_programme: bool) -> int:
    """Run one worker of a supervised node; the exit code. Raises SettingsProblems."""
    _configure(settings)
    preflight.inspect(settings, pages=PAGES, ports_are_shared=True)
    # One programme is enough for the node.
    return uvloop.run(_serve(settings, is_demo=is_demo, with_programme=with_programme and place.slot == 0, place=place))


def _configure(settings: Settings) -> Log:
    logging.configure(level=settings.log.level, form=settings.log.format)
    return get_log("node")


async def _serve(settings: Settings, *, is_demo: bool, with_programme: bool, place: WorkerPlace | None = None) -> int:
    log = get_log("node")
    stopping = asyncio.Event()
    _on_signals(stopping)
    if place is not None:
        demo.end_when_stdin_closes()
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database)
        stack.push_async_callback(engine.dispose)
        node = Node(settings, engine=engine, place=place)
        stack.push_async_callback(node.close)
        if is_demo:
            await demo.seed(node.accounts)
            if _is_first(place):
                await demo_goods.seed(node.goods, pins=with_programme)
        await node.listen()
        async with asyncio.TaskGroup() as tasks:
            parts = [tasks.create_task(part) for part in node.parts()]
            children = [tasks.create_task(child) for child in _children(settings, place, with_programme)]
            if is_demo and _is_first(place):
                painting = demo_goods.paint(node.goods, pictures=node.pictures, log=get_log("demo"))
                children.append(tasks.create_task(painting))
            if with_programme:
                talking = demo_audience.talk(node.gateway, node.accounts.users, log=get_log("demo"))
                children.append(tasks.create_task(talking))
            _settle_memory()
            log.info("node.ready", http=settings.public_origin, rtmp=settings.rtmp_url, version=__version__)
            if place is not None:
                tell_serving()
            elif is_demo:
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


def _children(
    settings: Settings, place: WorkerPlace | None, with_programme: bool
) -> Iterator[Coroutine[Any, Any, None]]:
    """What runs beside us in processes of its own."""
    if with_programme:
        yield demo.keep_programme(log=get_log("demo"))
    # One is enough for the node.
    if settings.payment.url == "sandbox" and _is_first(place):
        where = {"host": settings.sandbox_host, "origin": settings.sandbox_origin}
        yield demo.keep_gateway(log=get_log("demo"), port=settings.sandbox.port, **where)


def _is_first(place: WorkerPlace | None) -> bool:
    """Of the workers of a node."""
    return place is None or place.slot == 0


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
            f"  by WHIP       {origin}/whip/{demo.ROOM}, the stream key as bearer token",
            f"  by ffmpeg     ffmpeg -re -i FILE -c copy -f flv {settings.rtmp_url}/{demo.STREAM_KEY}",
            f"  API           {origin}/api/docs",
            f"  people        {', '.join(demo.PEOPLE)}; password {demo.PASSWORD}",
            "",
            "An encoder with that key replaces the synthetic programme. Ctrl-C stops the server.",
            "",
        ]
    )
