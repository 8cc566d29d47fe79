"""The API over a real HTTP connection, with what is on air told by the test."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy.ext.asyncio import AsyncEngine

from danmaku.conduct import ChatSettings, Sanction
from streamd.accounts.opening import Accounts
from streamd.accounts.rooms import Rooms
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
from streamd.chatting import ChatDesk, RoomOrder
from streamd.clock import Clock
from streamd.db.engine import open_engine
from streamd.live.health import StreamHealth
from streamd.pictures.store import Pictures
from streamd.telemetry.log import get_log
from streamd.telemetry.metrics import Metrics
from tests.support.accounts import PASSWORD, accounts_over
from tests.support.clock import FakeClock

ORIGIN = "https://live.example.com"
SHOP = "https://shop.example.com"
ADDRESSES = Addresses(origin=ORIGIN, rtmp_url="rtmp://live.example.com:1935/live")
Client = TestClient[web.Request, web.Application]


class Programme:
    """What is on air, and what was cut."""

    def __init__(self) -> None:
        self.streams: dict[str, StreamHealth] = {}
        self.cuts: list[str] = []

    def on_air(self) -> set[str]:
        return {room for room, health in self.streams.items() if health.on_air}

    def health(self, room: str) -> StreamHealth | None:
        return self.streams.get(room)

    def cut(self, room: str, reason: str = "cut") -> None:
        self.cuts.append(room)


class Gateway:
    """Saves how a room talks, and remembers whom it told."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self.told: list[tuple[str, ChatSettings]] = []
        self.sanctions: list[tuple[str, Sanction]] = []
        self.retracted: list[tuple[str, list[str]]] = []

    async def set_chat(self, room: str, chat: ChatSettings) -> None:
        await self._rooms.save_chat(room, chat.to_mapping())
        self.told.append((room, chat))

    async def sanction(self, room: str, sanction: Sanction) -> None:
        self.sanctions.append((room, sanction))

    async def retract(self, room: str, message_ids: Sequence[str]) -> int:
        self.retracted.append((room, list(message_ids)))
        return len(self.retracted)


class Stage:
    """A server with accounts: what the tests hold of it."""

    def __init__(self, *, engine: AsyncEngine, folder: Path, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.engine = engine
        self.accounts: Accounts = accounts_over(engine, clock=self.clock, data_dir=folder)
        self.programme = Programme()
        self.gateway = Gateway(self.accounts.rooms)
        self.pictures = Pictures(engine=engine, clock=self.clock)
        self.tokens: dict[str, str] = {}
        self.rates = CallRates()

    def border(self) -> Border:
        accounts = self.accounts
        return Border(
            who=accounts.identities,
            throttle=accounts.throttle,
            recorder=accounts.audit,
            answers=accounts.answers,
            address_of=lambda request: request.headers.get("X-Test-Address", request.remote or ""),
            rates=self.rates,
        )

    def areas(self) -> list[Area]:
        accounts, clock = self.accounts, self.clock
        return [
            RoomsApi(rooms=accounts.rooms, live=self.programme, clock=clock, addresses=ADDRESSES),
            SessionsApi(sessions=accounts.sessions),
            UsersApi(
                users=accounts.users,
                sessions=accounts.sessions,
                members=accounts.members,
                throttle=accounts.throttle,
            ),
            StaffApi(members=accounts.members, invitations=accounts.invitations, audit=accounts.audit, origin=ORIGIN),
            BroadcastingApi(
                rooms=accounts.rooms,
                keys=accounts.keys,
                playback=accounts.playback,
                pictures=self.pictures,
                live=self.programme,
                chat=ChatDesk(rooms=accounts.rooms, teller=self.gateway),
                addresses=ADDRESSES,
                clock=clock,
            ),
            ModerationApi(orderly=RoomOrder(rooms=accounts.rooms, warden=self.gateway), clock=clock),
            PictureFiles(pictures=self.pictures, rooms=accounts.rooms, clock=clock),
        ]

    async def sign_in(self, name: str, address: str = "") -> dict[str, str]:
        """The headers of somebody who is signed in."""
        if name not in self.tokens:
            found = await self.accounts.sessions.sign_in(name, PASSWORD, address=address or f"home of {name}")
            self.tokens[name] = found.access_token
        return {"Authorization": f"Bearer {self.tokens[name]}"}


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
    """What everybody may ask: no accounts."""
    clock = FakeClock()
    metrics = metrics or Metrics()
    areas: list[Area] = [
        RoomsApi(rooms=rooms, live=programme or Programme(), clock=clock, addresses=ADDRESSES),
        OperationsApi(metrics=metrics, checks=checks or {}, version="1.2.3"),
        Pages(folder=dist),
        *([extra] if extra else []),
    ]
    folder = Path(str(rooms._engine.url.database)).parent
    stage = Stage(engine=rooms._engine, folder=folder, clock=clock)
    async with serve_areas(areas, border=stage.border(), clock=clock, metrics=metrics) as client:
        yield client


@asynccontextmanager
async def serve_areas(
    areas: Sequence[Area], *, border: Border, clock: Clock, metrics: Metrics | None = None
) -> AsyncIterator[Client]:
    metrics = metrics or Metrics()
    application = web.Application()
    answering = Answering(log=get_log("test"), metrics=metrics, clock=clock, origin=ORIGIN, others=(SHOP,))
    docs = DocsApi(version="1.2.3", server=ORIGIN)
    mount(application, areas, docs=docs, answering=answering, border=border)
    async with TestClient(TestServer(application)) as client:
        yield client


@asynccontextmanager
async def open_stage(path: Path, migrated: Path) -> AsyncIterator[Stage]:
    """A stage over a database of its own."""
    await asyncio.to_thread(shutil.copy, migrated, path / "streamd.db")
    engine = open_engine(f"sqlite+aiosqlite:///{path}/streamd.db")
    yield Stage(engine=engine, folder=path)
    await engine.dispose()


async def body_of(client: Client, method: str, path: str, **options: Any) -> tuple[int, Any]:
    """Status and JSON."""
    if isinstance(options.get("data"), bytes):
        options["data"] = io.BytesIO(options["data"])
    async with client.request(method, path, **options) as answer:
        return answer.status, await answer.json() if answer.content_type.endswith("json") else None
