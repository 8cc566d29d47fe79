"""The API over a real HTTP connection, with what is on air told by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.accounts.rooms import Rooms
from streamd.api.answering import Answering
from streamd.api.docs import DocsApi
from streamd.api.mounting import Area, mount
from streamd.api.operations import OperationsApi
from streamd.api.pages import Pages
from streamd.api.rooms import RoomsApi
from streamd.live.health import StreamHealth
from streamd.telemetry.log import get_log
from streamd.telemetry.metrics import Metrics
from tests.support.clock import FakeClock

ORIGIN = "https://live.example.com"
Client = TestClient[web.Request, web.Application]


class Programme:
    """What is on air."""

    def __init__(self) -> None:
        self.streams: dict[str, StreamHealth] = {}

    def on_air(self) -> set[str]:
        return {room for room, health in self.streams.items() if health.on_air}

    def health(self, room: str) -> StreamHealth | None:
        return self.streams.get(room)


@asynccontextmanager
async def serve(
    rooms: Rooms,
    *,
    programme: Programme | None = None,
    checks: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
    dist: Path = Path("/nonexistent"),
    extra: Area | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Client]:
    clock = FakeClock()
    metrics = metrics or Metrics()
    areas: list[Area] = [
        RoomsApi(rooms=rooms, live=programme or Programme(), clock=clock),
        OperationsApi(metrics=metrics, checks=checks or {}, version="1.2.3"),
        Pages(folder=dist),
        *([extra] if extra else []),
    ]
    application = web.Application()
    answering = Answering(log=get_log("test"), metrics=metrics, clock=clock, origin=ORIGIN)
    mount(application, areas, docs=DocsApi(version="1.2.3", server=ORIGIN), answering=answering)
    async with TestClient(TestServer(application)) as client:
        yield client
