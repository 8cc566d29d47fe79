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
from streamd.accounts.roster import Roster
from streamd.accounts.site_words import SiteWordShelf
from streamd.api.addresses import Addresses, picture_path
from streamd.api.answering import Answering
from streamd.api.board import BoardApi
from streamd.api.border import Border, CallRates
from streamd.api.broadcasting import BroadcastingApi
from streamd.api.docs import DocsApi
from streamd.api.jobs import JobsApi
from streamd.api.moderation import ModerationApi
from streamd.api.mounting import Area, mount
from streamd.api.operations import OperationsApi
from streamd.api.page_errors import PageErrorsApi
from streamd.api.pages import Pages
from streamd.api.picture_files import PictureFiles
from streamd.api.room_desk import RoomDeskApi
from streamd.api.rooms import RoomsApi
from streamd.api.sessions import SessionsApi
from streamd.api.staff import StaffApi
from streamd.api.users import UsersApi
from streamd.api.words import WordsApi
from streamd.board.attendance import Attendance
from streamd.board.figures import Board
from streamd.chatting import ChatDesk, RoomOrder
from streamd.clock import Clock
from streamd.commerce import goods_areas
from streamd.db.engine import open_engine
from streamd.errors import NotFoundError
from streamd.jobs.desk import JobDesk
from streamd.jobs.worker import Jobs
from streamd.live.health import StreamHealth
from streamd.pictures.store import Pictures
from streamd.selling import Selling, SellingSettings
from streamd.shop.outbox import Outbox
from streamd.shop.payments import PaymentSettings
from streamd.shop.telling import Teller
from streamd.site_words import SiteWordList
from streamd.telemetry.log import get_log
from streamd.telemetry.metrics import Metrics
from tests.support.accounts import PASSWORD, accounts_over
from tests.support.clock import FakeClock
from tests.support.shop import Shop

ORIGIN = "https://live.example.com"
SHOP = "https://shop.example.com"
ADDRESSES = Addresses(origin=ORIGIN, rtmp_url="rtmp://live.example.com:1935/live")
Client = TestClient[web.Request, web.Application]


def _page_of(metrics: Metrics) -> Callable[[], Awaitable[bytes]]:
    async def page() -> bytes:
        return metrics.render()

    return page


class Programme:
    """What is on air, and what was cut."""

    def __init__(self) -> None:
        self.streams: dict[str, StreamHealth] = {}
        self.cuts: list[str] = []
        self.still: bytes | None = None
        self.asked: list[str] = []

    def on_air(self) -> set[str]:
        return {room for room, health in self.streams.items() if health.on_air}

    async def health(self, room: str) -> StreamHealth | None:
        return self.streams.get(room)

    def cut(self, room: str, reason: str = "cut") -> None:
        self.cuts.append(room)

    async def take(self, room: str) -> bytes:
        if self.still is None:
            raise NotFoundError("nothing is on air in this room here", code="not_live")
        return self.still

    async def recent(self, room: str) -> bytes:
        self.asked.append(room)
        return await self.take(room)


class Gateway:
    """Saves how a room talks, and remembers whom it told."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self.told: list[tuple[str, ChatSettings]] = []
        self.sanctions: list[tuple[str, Sanction]] = []
        self.reviewed: list[tuple[str, str, bool]] = []
        self.retracted: list[tuple[str, list[str]]] = []

    async def set_chat(self, room: str, chat: ChatSettings) -> None:
        await self._rooms.save_chat(room, chat.to_mapping())
        self.told.append((room, chat))

    async def sanction(self, room: str, sanction: Sanction) -> None:
        self.sanctions.append((room, sanction))

    async def held(self, room: str) -> list[dict[str, object]]:
        return [{"id": "m1", "user": {"id": "u9", "name": "z", "role": "viewer", "level": 0}, "text": room, "at_ms": 1}]

    async def review(self, room: str, message_id: str, *, show: bool) -> None:
        self.reviewed.append((room, message_id, show))

    async def retract(self, room: str, message_ids: Sequence[str]) -> int:
        self.retracted.append((room, list(message_ids)))
        return len(self.retracted)


class DeskOf:
    """Remembers what was asked of it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    async def pin(self, room: str, *, message_id: str, text: str, by: str) -> None:
        self.done.append((room, "pin", message_id, text, by))

    async def unpin(self, room: str) -> None:
        self.done.append((room, "unpin"))

    async def announce(self, room: str, text: str, *, by: str) -> None:
        self.done.append((room, "announce", text, by))

    async def audience(self, room: str) -> dict[str, Any]:
        counts = dict.fromkeys(
            ("online", "peak", "unique", "likes", "seq", "members_here", "lagging_here", "delivered_here"), 3
        )
        return {"room": room, "is_alone": False, "shed_here": {"A": 0, "B": 0, "C": 7, "D": 9}, **counts}

    async def try_words(self, room: str, text: str) -> dict[str, Any]:
        return {"action": "mask", "text": "***", "words": [text]}


class Stage:
    """A server with accounts: what the tests hold of it."""

    def __init__(self, *, engine: AsyncEngine, folder: Path, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.engine = engine
        self.accounts: Accounts = accounts_over(engine, clock=self.clock, data_dir=folder)
        self.programme = Programme()
        self.gateway = Gateway(self.accounts.rooms)
        self.desk = DeskOf()
        self.pictures = Pictures(engine=engine, clock=self.clock)
        self.shop = Shop(engine, self.clock)
        self.attendance = Attendance(engine=engine, clock=self.clock, log=get_log("test"), pseudonym=str)
        self.selling = _selling(self)
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
            SessionsApi(sessions=accounts.sessions, outside=accounts.outside),
            UsersApi(
                users=accounts.users,
                roster=Roster(engine=self.engine),
                sessions=accounts.sessions,
                members=accounts.members,
                throttle=accounts.throttle,
            ),
            BoardApi(board=Board(engine=self.engine, clock=clock), taps=self.attendance),
            JobsApi(desk=JobDesk(engine=self.engine, clock=clock, wake=lambda: None)),
            *self.selling.areas(),
            *goods_areas(self.shop.goods, accounts=accounts, pictures=self.pictures, clock=clock),
            StaffApi(members=accounts.members, invitations=accounts.invitations, audit=accounts.audit, origin=ORIGIN),
            BroadcastingApi(
                rooms=accounts.rooms,
                keys=accounts.keys,
                playback=accounts.playback,
                pictures=self.pictures,
                live=self.programme,
                stills=self.programme,
                chat=ChatDesk(rooms=accounts.rooms, teller=self.gateway),
                addresses=ADDRESSES,
                clock=clock,
            ),
            ModerationApi(
                orderly=RoomOrder(rooms=accounts.rooms, identities=accounts.identities, warden=self.gateway),
                clock=clock,
            ),
            RoomDeskApi(desk=self.desk, addresses=ADDRESSES),
            WordsApi(desk=SiteWordList(shelf=SiteWordShelf(engine=self.engine), log=get_log("test"))),
            PageErrorsApi(throttle=accounts.throttle, log=get_log("page")),
            PictureFiles(pictures=self.pictures, rooms=accounts.rooms, stills=self.programme, clock=clock),
        ]

    async def sign_in(self, name: str, address: str = "") -> dict[str, str]:
        """The headers of somebody who is signed in."""
        if name not in self.tokens:
            found = await self.accounts.sessions.sign_in(name, PASSWORD, address=address or f"home of {name}")
            self.tokens[name] = found.access_token
        return {"Authorization": f"Bearer {self.tokens[name]}"}


class NoRooms:
    """Nobody is in any room."""

    async def publish(self, room: str, event: str, payload: Mapping[str, object], *, key: str = "") -> int:
        return 0


def _selling(stage: Stage) -> Selling:
    """Orders and payments without a gateway; their till is at rest."""
    engine, clock, log = stage.engine, stage.clock, get_log("test")
    outbox = Outbox(engine=engine, clock=clock, rooms=NoRooms(), log=log)
    return Selling(
        engine=engine,
        clock=clock,
        accounts=stage.accounts,
        facts=outbox,
        news=Teller(outbox=outbox, clock=clock, picture_path=picture_path),
        jobs=Jobs(engine=engine, clock=clock, log=log),
        settings=SellingSettings(
            order_expiry_ms=900_000,
            payment=PaymentSettings(notify_origin=ORIGIN, return_origin=ORIGIN),
            sandbox=None,
        ),
    )


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
    pages = Pages(folder=dist)
    areas: list[Area] = [
        RoomsApi(rooms=rooms, live=programme or Programme(), clock=clock, addresses=ADDRESSES),
        OperationsApi(page=_page_of(metrics), checks=checks or {}, version="1.2.3"),
        pages,
        *([extra] if extra else []),
    ]
    folder = Path(str(rooms._engine.url.database)).parent
    stage = Stage(engine=rooms._engine, folder=folder, clock=clock)
    async with serve_areas(areas, border=stage.border(), clock=clock, metrics=metrics, site=pages) as client:
        yield client


@asynccontextmanager
async def serve_areas(
    areas: Sequence[Area],
    *,
    border: Border,
    clock: Clock,
    metrics: Metrics | None = None,
    site: Pages | None = None,
) -> AsyncIterator[Client]:
    metrics = metrics or Metrics()
    application = web.Application()
    answering = Answering(log=get_log("test"), metrics=metrics, clock=clock, origin=ORIGIN, others=(SHOP,))
    docs = DocsApi(version="1.2.3", server=ORIGIN)
    mount(application, areas, docs=docs, answering=answering, border=border, site=site)
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
