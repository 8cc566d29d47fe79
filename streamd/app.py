"""The composition root: settings in, one running node out. The only file that knows all the parts and joins them.

Everything is made by hand, keyword by keyword; `streamd.process` runs it and closes it. No logic lives
here beyond what belongs to nobody else: the order of starting and stopping.

Stopping: admit nobody, send the encoders away so that they connect elsewhere, answer every viewer
who waits for a part, end the continuous streams, close the sockets; all within `shutdown_ms`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from danmaku.gateway import RoomGateway
from danmaku.history import DanmakuHistory, SanctionShelf
from danmaku.ports import RoomFacts
from danmaku.settings import RoomSettings
from danmaku.socket import TransportSettings
from hls_packager.model import Cadence, HlsSettings
from hls_packager.origin import Origin
from hls_packager.packager import Packager
from rtmp_ingest.limits import RtmpSettings
from rtmp_ingest.server import RtmpServer
from streamd import __version__, preflight
from streamd.accounts.opening import open_accounts
from streamd.accounts.site_words import SiteWordShelf
from streamd.admission import PlayAdmission, PublishAdmission
from streamd.api.addresses import Addresses
from streamd.api.answering import Answering
from streamd.api.border import Border, CallRates
from streamd.api.docs import DocsApi
from streamd.api.mounting import Area, mount
from streamd.api.operations import OperationsApi
from streamd.api.page_errors import PageErrorsApi
from streamd.api.pages import Pages
from streamd.chatting import RoomBook, RoomIdentify
from streamd.clock import SystemClock
from streamd.cluster.in_process import InProcessBus
from streamd.cluster.rates import InProcessRates, SharedRates
from streamd.cluster.redis import RedisBus
from streamd.commerce import Commerce
from streamd.db.engine import Database, ping
from streamd.delivery.admission import Admission
from streamd.delivery.flv import FlvDelivery
from streamd.delivery.hls import HlsDelivery
from streamd.errors import NotFoundError, UnavailableError
from streamd.fleet import open_fleet
from streamd.hosting import hosting_areas, identity_providers, open_reviewer
from streamd.live.fanout import FanOut
from streamd.live.gate import StreamGate
from streamd.live.hub import Hub, HubSettings
from streamd.live.stream import LiveStream, StreamSettings
from streamd.pictures.store import Pictures
from streamd.reactions import Reactions
from streamd.retaining import Old
from streamd.selling import SellingSettings
from streamd.settings import Settings
from streamd.shop.opening import Goods
from streamd.showboard import ShowBoard
from streamd.site_words import SiteWordList
from streamd.supervisor import WorkerPlace
from streamd.telemetry.log import get_log
from streamd.telemetry.loop_lag import watch_loop_lag
from streamd.telemetry.metrics import Metrics
from streamd.webrtc import open_whip
from streamd.whip.endpoint import WhipEndpoint

PAGES = Path(__file__).parent / "web" / "dist"
# Longer than proxies keep idle connections to us (nginx: 60 s), or they would write into closed ones; short for those
# who connect and never speak. aiohttp's default is an hour.
KEEPALIVE_S = 75.0
BACKLOG = 1_024
# Of the time for stopping, what viewers get to take what is queued for them.
FAREWELL_S = 1.0
ORIGIN_SWEEP_S = 2.0


class Node:
    """All the parts, joined. Nothing is open before `listen`; nothing moves before `parts` run."""

    def __init__(self, settings: Settings, *, engine: Database, place: WorkerPlace | None = None) -> None:
        self._settings = settings
        self._shares_ports = place is not None
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
            providers=identity_providers(settings),
        )
        self.rooms = self.accounts.rooms
        self._reviewer = open_reviewer(settings, clock=self._clock)
        self._board = ShowBoard(engine=engine, clock=self._clock, secret=self.accounts.secret, metrics=self._metrics)
        self._history = DanmakuHistory(engine=engine)
        self._site_words = SiteWordList(shelf=SiteWordShelf(engine=engine), log=get_log("words"))
        self._gateway = RoomGateway(
            bus=self._bus,
            directory=self,
            identify=RoomIdentify(identities=self.accounts.identities),
            clock=self._clock,
            book=RoomBook(rooms=self.rooms, shelf=SanctionShelf(engine=engine, clock=self._clock)),
            archive=self._history,
            attendance=self._board.attendance,
            reviewer=self._reviewer,
            site_words=self._site_words,
            settings=RoomSettings(transport=TransportSettings(trust_forwarded_for=settings.http.behind_proxy)),
        )
        self.pictures = Pictures(engine=engine, clock=self._clock)
        self._commerce = Commerce(
            engine=engine,
            clock=self._clock,
            accounts=self.accounts,
            pictures=self.pictures,
            teller=self._gateway,
            metrics=self._metrics,
            old=Old(history=self._history, programmes=self._board.keeping, settings=settings.retention),
            settings=SellingSettings.of(settings, sandbox_key=self.accounts.secret.payment_key()),
        )
        self._reactions = Reactions(notices=self._gateway, shows=self._board.shows, log=get_log("reactions"))
        internal = self._join_streams(place)
        self._join_viewers()
        self._http = self._make_http(internal)
        for part in (self._hub, self._fanout, self._origin, self._hls, self._whip):
            self._metrics.collect_from(part.collect)
        self._metrics.collect_from(self._gateway.metrics)

    @property
    def gateway(self) -> RoomGateway:
        """The rooms of this worker."""
        return self._gateway

    @property
    def goods(self) -> Goods:
        """What is sold here."""
        return self._commerce.goods

    # --- how it is joined ---

    def _join_streams(self, place: WorkerPlace | None) -> web.Application | None:
        """What comes in, on this worker and on others; what other workers ask of this one."""
        self._hls_settings = HlsSettings(
            segment_ms=self._settings.hls.segment_ms,
            part_ms=self._settings.hls.part_ms,
            window_segments=self._settings.hls.window_segments,
        )
        self._origin = Origin(clock=self._clock, settings=self._hls_settings)
        self._fleet = open_fleet(
            bus=self._bus,
            clock=self._clock,
            settings=self._settings,
            metrics=self._metrics,
            origin=self._origin,
            place=place,
        )
        self._hub = Hub(
            clock=self._clock,
            directory=self._fleet.directory,
            log=get_log("live"),
            settings=HubSettings(stream=StreamSettings(grace_ms=self._settings.live.grace_ms)),
            sinks=self._sinks,
            on_fact=self._reactions.on_stream,
            on_moved=self._origin.withdraw,
        )
        self._admission = PublishAdmission(keys=self.accounts.keys, rooms=self.rooms, secret=self.accounts.secret)
        self._gate = StreamGate(
            hub=self._hub,
            keys=self._admission,
            clock=self._clock,
            log=get_log("live"),
            elsewhere=self._fleet.owners,
        )
        return self._fleet.join(hub=self._hub, gate=self._gate, reactions=self._reactions)

    def _join_viewers(self) -> None:
        """What goes out, and the sockets for what comes in."""
        self._fanout = FanOut(
            hub=self._hub,
            check=PlayAdmission(playback=self.accounts.playback),
            clock=self._clock,
            log=get_log("live"),
            timers=asyncio.get_running_loop(),
            mirrors=self._fleet.mirrors,
        )
        self._rtmp = self._make_rtmp()
        self._whip = open_whip(
            self._settings,
            gate=self._gate,
            keys=self._admission,
            clock=self._clock,
            metrics=self._metrics,
            worker=self._fleet.worker,
        )
        self._hls = HlsDelivery(
            origin=self._origin,
            rooms=self.rooms,
            clock=self._clock,
            watch=self.accounts.playback,
            mirrors=self._fleet.mirrors,
            address_of=self._address_of,
        )
        self._flv = FlvDelivery(gate=self._fanout, address_of=self._address_of)

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
                store=self._origin.open(
                    stream.room,
                    least_msn=stream.claim.numbers.media,
                    least_discontinuity=stream.claim.numbers.discontinuity,
                    cadence=Cadence.from_text(stream.claim.numbers.cadence),
                ),
                settings=self._hls_settings,
                log=get_log("hls"),
                utc_ms=stream.timeline.utc_ms,
            )
        ]

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
                reuse_port=self._shares_ports,
                behind_proxy=settings.rtmp.behind_proxy,
            ),
            ssl_context=preflight.tls_context(settings),
        )

    def _make_http(self, internal: web.Application | None) -> web.AppRunner:
        origin = self._settings.public_origin
        application = web.Application()
        forwarder = self._fleet.forwarder
        whip = WhipEndpoint(
            server=self._whip, address_of=self._address_of, forward=forwarder.forward if forwarder else None
        )
        admission = Admission(watch=self.accounts.playback, address_of=self._address_of)
        application.add_routes([*self._hls.routes(), *self._flv.routes(), *admission.routes(), *whip.routes()])
        self._gateway.attach(application)
        if internal is not None and forwarder is not None:  # what another worker may forward to this one
            self._gateway.be_one_of_many(self._fleet.worker, forwarder.forward)
            self._gateway.attach(internal)
            internal.add_routes(whip.routes())
        pages = Pages(folder=PAGES)
        answering = Answering(
            log=get_log("http"),
            metrics=self._metrics,
            clock=self._clock,
            origin=origin,
            others=self._settings.http.cors_origins,
        )
        docs = DocsApi(version=__version__, server=origin)
        areas = [*self._areas(), pages]
        mount(application, areas, docs=docs, answering=answering, border=self._border(), site=pages)
        return web.AppRunner(application, access_log=None, keepalive_timeout=KEEPALIVE_S, shutdown_timeout=FAREWELL_S)

    def _areas(self) -> list[Area]:
        return [
            *hosting_areas(
                engine=self._engine,
                clock=self._clock,
                accounts=self.accounts,
                addresses=Addresses(origin=self._settings.public_origin, rtmp_url=self._settings.rtmp_url),
                pictures=self.pictures,
                gateway=self._gateway,
                fleet=self._fleet,
                site_words=self._site_words,
                find=self._hub.find,
            ),
            *self._commerce.areas(),
            *self._board.areas(),
            OperationsApi(
                page=self._fleet.metrics_page,
                checks={"database": lambda: ping(self._engine), "bus": self._check_bus},
                version=__version__,
            ),
            PageErrorsApi(throttle=self.accounts.throttle, log=get_log("page")),
        ]

    def _border(self) -> Border:
        return Border(
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

    # --- what the parts ask of each other through here ---

    def _address_of(self, request: web.Request) -> str:
        """Whose request it is. Behind a proxy of ours the last address of X-Forwarded-For, which the proxy wrote."""
        if self._settings.http.behind_proxy:
            forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            if forwarded:
                return forwarded
        return request.remote or ""

    async def facts(self, room: str) -> RoomFacts | None:
        """See `danmaku.ports.RoomDirectory`."""
        try:
            known = await self.rooms.get(room)
        except NotFoundError:
            return None
        return RoomFacts(title=known.title, live=room in self._fleet.on_air(), card=await self._commerce.card(room))

    async def _check_bus(self) -> None:
        if not self._bus.ready():
            raise UnavailableError("the bus is not heard", why="Redis is away, or its messages do not reach this node")

    # --- its life ---

    async def listen(self) -> None:
        """Bind the ports. Who connects before the parts run waits in the kernel. Raises OSError."""
        self._rtmp.listen()
        self._whip.listen()
        await self._fleet.listen()
        await self._http.setup()
        http = self._settings.http
        await web.TCPSite(self._http, http.host, http.port, backlog=BACKLOG, reuse_port=self._shares_ports).start()

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the node does, each to be made a task."""
        return [
            self._rtmp.run(),
            self._whip.run(),
            self._hub.run(),
            *([self._bus.run()] if isinstance(self._bus, RedisBus) else []),
            *self._fleet.parts(),
            self._gateway.run(),
            self._site_words.run(),
            self._history.run(),
            self._reactions.run(),
            *self._commerce.parts(),
            *self._board.parts(self._gateway),
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
            leaving.create_task(self._whip.stop("shutdown", within_ms=within_ms))
            leaving.create_task(self._gateway.close(within_ms=within_ms))
        await self._http.cleanup()
        await self._hub.close()
        await self._fleet.stop()

    async def close(self) -> None:
        """Let go of what `parts` used, after they ended."""
        await self._commerce.close()
        await self._fleet.close()
        if self._reviewer is not None:
            await self._reviewer.aclose()
        if isinstance(self._bus, RedisBus):
            await self._bus.aclose()
