"""A room server under test: `python -m loadtest.room_server streamd|stock PORT [REDIS_URL]`.

`streamd` is our gateway alone on an aiohttp application; `stock` the same few features written in the plainest way on
python-socketio. Both: join a room at connect, hear `danmaku` and `like`, and publish on request:
`POST /publish?event=notice&per_s=20&size=200` until the next such request; `GET /facts` gives counts.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import time
from typing import Any

import socketio
import uvloop
from aiohttp import web

from danmaku.conduct import ChatSettings, Identity, SpeechRates
from danmaku.fanout import Member
from danmaku.gateway import RoomGateway
from danmaku.ports import RoomFacts
from danmaku.session import WebSocketSession
from danmaku.settings import RoomSettings
from danmaku.socket import TransportSettings
from loadtest.machine import allow_many_files
from streamd.clock import SystemClock
from streamd.cluster.in_process import InProcessBus
from streamd.cluster.redis import RedisBus

_ROOM = "show"


def mark() -> str:
    """The moment, for whoever receives it: same machine, same clock."""
    return f"@{time.monotonic_ns() // 1_000}@"


class Publisher:
    """Publishes at a rate until told otherwise."""

    def __init__(self, tell: Any) -> None:
        self._tell = tell
        self._changed = asyncio.Event()
        self._order: tuple[str, float, int] = ("", 0.0, 0)

    async def handle(self, request: web.Request) -> web.Response:
        query = request.query
        self._order = (query["event"], float(query["per_s"]), int(query["size"]))
        self._changed.set()
        return web.Response()

    async def run(self) -> None:
        numbers = itertools.count()
        due = time.monotonic()
        while True:
            event, per_s, size = self._order
            pause = 1 / per_s if per_s else 3_600.0
            due = max(due + pause, time.monotonic() - 1)
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, due - time.monotonic())):
                    await self._changed.wait()
                self._changed.clear()
                due = time.monotonic()
            except TimeoutError:
                payload = {"n": next(numbers), "mark": mark()}
                payload["text"] = "x" * max(0, size - len(json.dumps(payload)))
                await self._tell(event, payload)


class _Show:
    async def facts(self, room: str) -> RoomFacts | None:
        return RoomFacts(title=room, live=True)


async def _identify(token: str, room: str) -> Identity | None:  # noqa: ARG001 - the protocol's shape
    return Identity(id=token, name=token)


async def serve_ours(port: int, redis_url: str) -> None:
    """The gateway, with a budget that shows everything."""
    clock = SystemClock()
    bus = RedisBus(redis_url, clock=clock) if redis_url else InProcessBus(clock=clock)
    settings = RoomSettings(
        joins_per_s=100_000,
        join_burst=100_000,
        max_connections_per_user=100_000,
        rates=SpeechRates(address=(1, 10_000)),  # all members come from one address here
        transport=TransportSettings(max_connections_per_address=100_000),
    )
    gateway = RoomGateway(bus=bus, directory=_Show(), identify=_identify, clock=clock, settings=settings)

    async def tell(event: str, payload: dict[str, Any]) -> None:
        await gateway.publish(_ROOM, event, {**payload, "product": payload} if event == "card" else payload)

    async def facts(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's shape
        return web.json_response(_facts(gateway))

    async def chat(request: web.Request) -> web.Response:
        await gateway.set_chat(_ROOM, ChatSettings(shown_per_s=int(request.query["shown_per_s"])))
        return web.Response()

    publisher = Publisher(tell)
    app = web.Application()
    app.router.add_post("/publish", publisher.handle)
    app.router.add_post("/chat", chat)
    app.router.add_get("/facts", facts)
    gateway.attach(app)
    async with asyncio.TaskGroup() as group:
        if isinstance(bus, RedisBus):
            group.create_task(bus.run())
        group.create_task(gateway.run())
        group.create_task(publisher.run())
        await _listen(app, port)


def _facts(gateway: RoomGateway) -> dict[str, Any]:
    """Our own counts, and how many of our objects there are."""
    gc.collect()
    kinds = (WebSocketSession, Member)
    objects = {kind.__name__: sum(type(one) is kind for one in gc.get_objects()) for kind in kinds}
    stats = gateway.room_stats(_ROOM)
    if stats is None:
        return {"objects": objects}
    return {
        "members": stats.members_here,
        "online": stats.online,
        "likes": stats.likes,
        "shed": dict(zip("ABCD", stats.shed_here, strict=True)),
        "aborted": dict(stats.aborted_here),
        "delivered": stats.delivered_here,
        "objects": objects,
        "refused": gateway.speech.refusals,
    }


async def serve_stock(port: int, redis_url: str) -> None:
    """python-socketio as its documentation has it."""
    manager = socketio.AsyncRedisManager(redis_url) if redis_url else None
    sio = socketio.AsyncServer(async_mode="aiohttp", client_manager=manager, cors_allowed_origins="*")
    numbers = itertools.count(1)

    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:  # noqa: ARG001 - its shape
        room = (auth or {}).get("room", _ROOM)
        await sio.enter_room(sid, room)
        await sio.emit("welcome", {"room": room}, to=sid)

    async def danmaku(sid: str, data: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - its shape
        seq = next(numbers)
        await sio.emit("danmaku", [{**data, "seq": seq}], room=_ROOM)
        return {"ok": True, "seq": seq}

    async def like(sid: str, data: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - its shape
        return {"ok": True, "accepted": data["count"]}

    for handler in (connect, danmaku, like):
        sio.on(handler.__name__, handler)

    async def tell(event: str, payload: dict[str, Any]) -> None:
        await sio.emit(event, payload, room=_ROOM)

    publisher = Publisher(tell)
    app = web.Application()
    app.router.add_post("/publish", publisher.handle)
    sio.attach(app)
    async with asyncio.TaskGroup() as group:
        group.create_task(publisher.run())
        await _listen(app, port)


async def _listen(app: web.Application, port: int) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4_096).start()
    await asyncio.Event().wait()


def main() -> None:
    """Until SIGTERM."""
    kind, port, *rest = sys.argv[1:]
    allow_many_files()
    serve = serve_ours if kind == "streamd" else serve_stock
    uvloop.run(serve(int(port), rest[0] if rest else ""))


if __name__ == "__main__":
    main()
