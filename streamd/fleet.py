"""This worker among others, joined: the register in Redis, the internal address, mirrors, forwarding, shared metrics.

`Fleet` where there is Redis, `Alone` where there is none: the composition root need not know which. Two steps, because
the parts need each other: the fleet first, `join` once hub, gate and reactions exist.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Coroutine
from typing import Any, NamedTuple

from aiohttp import web

from hls_packager.origin import Origin
from streamd.clock import Clock
from streamd.cluster.in_process import InProcessBus
from streamd.cluster.redis import RedisBus
from streamd.cluster.redis_register import RedisRegister
from streamd.cluster.register import Holding, Numbers, WorkerCard
from streamd.errors import StreamdError
from streamd.internal.elsewhere import OtherOwners
from streamd.internal.endpoint import InternalEndpoint
from streamd.internal.following import Following, FollowSettings
from streamd.internal.forwarding import Forwarder
from streamd.internal.mirrors import Mirrors
from streamd.internal.peers import Peers
from streamd.live.directory import Directory, InProcessDirectory
from streamd.live.gate import StreamGate
from streamd.live.health import StreamHealth
from streamd.live.hub import Hub, StreamFact, Turn
from streamd.live.shared_directory import SharedDirectory
from streamd.live.stream import StreamState
from streamd.reactions import Reactions
from streamd.settings import Settings
from streamd.supervisor import WorkerPlace
from streamd.telemetry.log import get_log
from streamd.telemetry.metrics import Metrics
from streamd.telemetry.metrics_page import merge

_METRICS_MS = 1_500


class Alone:
    """A node that is one worker: everything that is on air is on air here."""

    worker = ""
    owners: OtherOwners | None = None
    mirrors: Mirrors | None = None
    forwarder: Forwarder | None = None

    def __init__(self, *, clock: Clock, metrics: Metrics) -> None:
        self._metrics = metrics
        self.directory: Directory = InProcessDirectory(worker="0", clock=clock)
        self._joined: _Joined | None = None

    def join(self, *, hub: Hub, gate: StreamGate, reactions: Reactions) -> web.Application | None:
        """The parts that came later. The application of the internal address, if there is one."""
        self._joined = _Joined(hub, gate, reactions)
        return None

    @property
    def joined(self) -> _Joined:
        """The parts of `join`."""
        assert self._joined is not None, "join comes before anything is asked"
        return self._joined

    # --- what is on air: see `streamd.api.rooms.LiveRooms` and `streamd.api.broadcasting.LiveCut` ---

    def on_air(self) -> set[str]:
        """Rooms with an encoder, now."""
        return {stream.room for stream in self.joined.hub.streams() if stream.state is StreamState.ON_AIR}

    async def health(self, room: str) -> StreamHealth | None:
        """How a stream is doing; None where nothing is live."""
        return self.joined.hub.health(room)

    def cut(self, room: str, reason: str = "cut") -> None:
        """Off air, at once."""
        self.joined.gate.cut(room, reason)

    async def metrics_page(self) -> bytes:
        """What `/metrics` answers."""
        return self._metrics.render()

    # --- its life ---

    async def listen(self) -> None:
        """There is no internal address."""

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the node does."""
        return []

    async def stop(self) -> None:
        """There is nobody to tell."""

    async def close(self) -> None:
        """Nothing is open."""


class _Joined(NamedTuple):
    hub: Hub
    gate: StreamGate
    reactions: Reactions


class Fleet(Alone):
    """See the module's promise."""

    def __init__(
        self,
        *,
        bus: RedisBus,
        clock: Clock,
        settings: Settings,
        metrics: Metrics,
        origin: Origin,
        place: WorkerPlace | None,
    ) -> None:
        super().__init__(clock=clock, metrics=metrics)
        self._clock = clock
        self._origin = origin
        self._grace_ms = settings.live.grace_ms
        self._missed: dict[str, int] = {}  # rooms whose owner died, and when they are over
        self._socket = _listen(settings)
        self._place = place or WorkerPlace(secrets.token_hex(4), 0)
        host, port = self._socket.getsockname()[:2]
        self.worker = f"{self._place.node}-{self._place.slot}-{secrets.token_hex(3)}"
        self._shared = self.directory = SharedDirectory(
            register=RedisRegister(bus.run_script),
            card=WorkerCard(
                self.worker, self._place.node, self._place.slot, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            ),
            clock=clock,
            log=get_log("fleet"),
            holdings=self._holdings,
            numbers=self._numbers,
            on_lost=self._on_lost,
            on_vanished=self._on_vanished,
        )
        self.peers = Peers(directory=self._shared)
        self._owners = self.owners = OtherOwners(directory=self._shared, peers=self.peers, log=get_log("fleet"))
        self._forwarder = self.forwarder = Forwarder(peers=self.peers)
        following = Following(
            directory=self._shared,
            peers=self.peers,
            clock=clock,
            log=get_log("fleet"),
            settings=FollowSettings(grace_ms=settings.live.grace_ms),
        )
        self._mirrors = self.mirrors = Mirrors(directory=self._shared, following=following, origin=origin, clock=clock)
        self._endpoint: InternalEndpoint | None = None
        metrics.collect_from(bus.collect)
        self._runner: web.AppRunner | None = None

    def join(self, *, hub: Hub, gate: StreamGate, reactions: Reactions) -> web.Application:
        """See Alone. Routes that other workers forward to may be added to the application."""
        super().join(hub=hub, gate=gate, reactions=reactions)
        endpoint = self._endpoint = InternalEndpoint(
            hub=hub,
            gate=gate,
            origin=self._origin,
            metrics=self._metrics,
            secret=lambda: self._shared.secret,
            on_owned=self._shared.hear,
        )
        application = endpoint.application()
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        for collect in (endpoint.collect, self._mirrors.collect, self._forwarder.collect):
            self._metrics.collect_from(collect)
        return application

    # --- its life ---

    async def listen(self) -> None:
        """Be reachable, and say so. Redis may be away: then others learn of this worker once it is back."""
        assert self._runner is not None
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()
        await self._shared.beat()

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the node does."""
        return [self._shared.run(), self._owners.run(), self._mirrors.run(), self._mourn()]

    async def stop(self) -> None:
        """After the hub has paused its streams and given them back."""
        if self._endpoint is not None:
            self._endpoint.close()
        await self._shared.leave()
        if self._runner is not None:
            await self._runner.cleanup()

    async def close(self) -> None:
        """Let go of connections."""
        await self.peers.close()
        self._socket.close()

    # --- what is asked of it ---

    def on_air(self) -> set[str]:
        """On all workers."""
        return super().on_air() | self._shared.on_air()

    async def health(self, room: str) -> StreamHealth | None:
        """Asks the owner. Cancel-safe: yes."""
        here = await super().health(room)
        return here if here is not None else await self._owners.health(room)

    def cut(self, room: str, reason: str = "cut") -> None:
        """On whichever worker."""
        super().cut(room, reason)
        self._owners.cut(room, reason)

    async def metrics_page(self) -> bytes:
        """The metrics of all workers of this node; of this one alone where it is the only one."""
        mine = self._metrics.render()
        neighbours = self._shared.neighbours()
        if not neighbours:
            return mine
        pages = {card.slot: page for card in neighbours if (page := await self._page_of(card)) is not None}
        pages[self._place.slot] = mine.decode()
        return merge({str(slot): pages[slot] for slot in sorted(pages)}).encode()

    async def _page_of(self, card: WorkerCard) -> str | None:
        try:
            page: bytes = await self.peers.ask(card.worker, "GET", "/internal/metrics", answer_ms=_METRICS_MS)
        except StreamdError:
            return None  # it is ending; a page without it is better than none
        return page.decode()

    # --- what the directory asks and tells ---

    def _holdings(self) -> list[Holding]:
        return [
            Holding(
                stream.room,
                stream.claim.epoch,
                stream.state is StreamState.ON_AIR,
                self._numbers(stream.room),
            )
            for stream in self.joined.hub.streams()
        ]

    def _numbers(self, room: str) -> Numbers:
        cadence = self._origin.cadence(room)
        return Numbers(*self._origin.numbers(room), cadence.text() if cadence is not None else "")

    def _on_lost(self, room: str, epoch: int) -> None:
        self.joined.gate.give_up(room, epoch=epoch)

    def _on_vanished(self, room: str) -> None:
        """Its worker died, and its encoder has not come back yet: somebody has to say so to the room."""
        self._missed[room] = self._clock.now_ms() + self._grace_ms
        self._tell(room, Turn.PAUSED)

    async def _mourn(self) -> None:
        """What its owner would have said after the grace time."""
        while True:
            await asyncio.sleep(1.0)
            now_ms = self._clock.now_ms()
            for room in [room for room, over_ms in self._missed.items() if over_ms <= now_ms]:
                del self._missed[room]
                if self._shared.known(room) is None:
                    self._tell(room, Turn.ENDED)

    def _tell(self, room: str, turn: Turn) -> None:
        fact = StreamFact(turn=turn, room=room, at_ms=self._clock.utc_ms(), reason="worker_died")
        self.joined.reactions.on_stream(fact)


def open_fleet(
    *,
    bus: InProcessBus | RedisBus,
    clock: Clock,
    settings: Settings,
    metrics: Metrics,
    origin: Origin,
    place: WorkerPlace | None,
) -> Alone:
    """A fleet where the bus reaches other workers. Raises OSError where no address can be listened on."""
    if not isinstance(bus, RedisBus):
        return Alone(clock=clock, metrics=metrics)
    return Fleet(bus=bus, clock=clock, settings=settings, metrics=metrics, origin=origin, place=place)


def _listen(settings: Settings) -> socket.socket:
    """A listening socket on any free port of the address where other nodes reach this one. Raises OSError."""
    host = settings.node_host or _own_address(settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, backlog=256)


def _own_address(settings: Settings) -> str:
    """The loopback for a node that serves only that; else the address from which the world beyond would be reached."""
    if settings.http.host in ("127.0.0.1", "::1", "localhost"):
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the kernel only chooses a route
            address: str = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    return address
