"""A WHIP server on free ports with the simplest house behind it: one key, one room, everything recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from aiohttp import ClientResponse, ClientSession, web

from loadtest.rtp_recording import Payload, Player, from_flv
from loadtest.whip_peer import Answer, Offering, WhipPeer
from streamd.clock import SystemClock
from streamd.errors import UnauthenticatedError
from streamd.media.ports import PublishRequest
from streamd.telemetry.log import get_log
from streamd.telemetry.metrics import Metrics
from streamd.whip.endpoint import WhipEndpoint
from streamd.whip.limits import WhipSettings
from streamd.whip.server import WhipServer
from tests.rtmp_ingest.gates import KEY, OneKeyGate
from tests.support.clock import FakeClock
from tests.support.encoder import clip

LOOP_MS = 6_000
STEP_MS = 20
OFFER = {"Content-Type": "application/sdp", "Authorization": f"Bearer {KEY}"}
FRAGMENT = "application/trickle-ice-sdpfrag"


class OneKey:
    """Implements `server.KeyCheck`."""

    async def check(self, request: PublishRequest) -> object:
        if request.query.get("key") != KEY:
            raise UnauthenticatedError("no such stream key")
        return object()


class House:
    """What a test has in hand."""

    def __init__(self, server: WhipServer, gate: OneKeyGate, url: str, http: ClientSession) -> None:
        self.server = server
        self.gate = gate
        self.url = url
        self.http = http
        self.peers: list[WhipPeer] = []
        self.now_us = 1_000_000_000  # arrival times: they go on with what is played

    def peer(self, offering: Offering | None = None) -> WhipPeer:
        """A client, closed with the house."""
        peer = WhipPeer(offering)
        self.peers.append(peer)
        return peer

    @property
    def door(self) -> str:
        return f"{self.url}/whip/demo"

    async def post(self, body: bytes | str, **headers: str) -> ClientResponse:
        """An offer; headers replace the usual ones, with `_` for `-`."""
        sent = {**OFFER, **{name.replace("_", "-"): value for name, value in headers.items()}}
        response = await self.http.post(self.door, data=body, headers={k: v for k, v in sent.items() if v})
        await response.read()
        return response

    async def offer(self, peer: WhipPeer) -> tuple[Answer, str]:
        """The answer and the session's address."""
        response = await self.post(peer.offering.sdp())
        assert response.status == 201, await response.text()
        return Answer.read(await response.text()), self.url + response.headers["Location"]

    async def publish(self, offering: Offering | None = None) -> Publishing:
        """A peer that is connected."""
        peer = self.peer(offering)
        answer, location = await self.offer(peer)
        await asyncio.to_thread(peer.connect, answer)
        return Publishing(self, peer, location, answer)


class Publishing:
    """A connected peer and what it plays."""

    def __init__(self, house: House, peer: WhipPeer, location: str, answer: Answer) -> None:
        self.peer = peer
        self.location = location
        self.answer = answer
        self.player = Player(payloads(), loop_ms=LOOP_MS)
        self._house = house
        self._played_ms = 0

    async def play(self, for_ms: int, *, lost: Callable[[bytes], bool] = lambda _: False) -> None:
        """Some time of the programme, faster than it is: what arrives is told that the time has passed."""
        for _ in range(0, for_ms, STEP_MS):
            self._played_ms += STEP_MS
            self._house.now_us += STEP_MS * 1_000
            for report in self.player.reports(self._played_ms, time.time()):
                self.peer.send_control(report)
            for packet in self.player.take(self._played_ms):
                if not lost(packet):
                    self.peer.send(packet)
            for _ in range(3):  # the server reads what loopback has delivered already
                await asyncio.sleep(0)


@cache
def payloads() -> list[Payload]:
    return from_flv(clip().read_bytes(), loop_ms=LOOP_MS)


@asynccontextmanager
async def open_house(
    settings: WhipSettings | None = None,
    *,
    clock: FakeClock | None = None,
    worker: str = "",
    forward: Callable[[web.Request, str], Awaitable[web.StreamResponse]] | None = None,
) -> AsyncIterator[House]:
    gate = OneKeyGate()
    houses: list[House] = []
    server = WhipServer(
        gate=gate,
        keys=OneKey(),
        clock=clock or SystemClock(),
        metrics=Metrics(),
        log=get_log("whip"),
        settings=settings or WhipSettings(host="127.0.0.1"),
        worker=worker,
        now_us=lambda: houses[0].now_us,
    )
    server.listen()
    application = web.Application()
    application.add_routes(WhipEndpoint(server=server, forward=forward).routes())
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site: Any = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        async with asyncio.TaskGroup() as tasks, ClientSession() as http:
            house = House(server, gate, f"http://127.0.0.1:{port}", http)
            houses.append(house)
            tasks.create_task(server.run())
            await asyncio.sleep(0)
            try:
                yield house
            finally:
                for peer in house.peers:
                    peer.socket.close()
                await server.stop("shutdown", within_ms=2_000)
    finally:
        await runner.cleanup()
