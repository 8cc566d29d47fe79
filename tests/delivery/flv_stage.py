"""A real HTTP server on a free port that serves FLV, and an encoder without a network that feeds it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from functools import cache

from aiohttp import web

from rtmp_ingest.frames import FrameReader
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Message
from streamd.clock import SystemClock
from streamd.delivery.flv import FlvDelivery
from streamd.live.audience import AudienceSettings
from streamd.live.directory import InProcessDirectory
from streamd.live.fanout import FanOut
from streamd.live.gate import StreamGate
from streamd.live.hub import Hub
from streamd.media.frames import EncodedFrame
from streamd.media.ports import Publication, PublishRequest
from streamd.media.tracks import AudioTrack, Track, VideoTrack
from tests.live.stage import PaperKeys, PaperPublisher, PaperRooms, SilentLog
from tests.support.coded import flv_of, messages
from tests.support.ports import free_port

X264 = (("g", "25"), ("sc_threshold", "0"), ("preset", "ultrafast"), ("bf", "0"))


@cache
def programme(
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    seconds: float = 4.0,
    size: tuple[int, int] = (322, 182),
    options: tuple[tuple[str, str], ...] = X264,
) -> tuple[tuple[Track, ...], tuple[EncodedFrame, ...]]:
    """A clip's tracks and frames in the order of their times, on the encoder's timeline."""
    reader = FrameReader(limits=RtmpLimits())
    outputs: list[object] = []
    clip = flv_of(video, audio, seconds=seconds, fps=Fraction(25), size=size, options=options if video else ())
    for kind, timestamp_ms, body in messages(clip):
        if kind in (8, 9):
            reader.receive(Message(kind, 1, timestamp_ms, body), outputs)  # type: ignore[arg-type]
    tracks = tuple(each for each in outputs if isinstance(each, VideoTrack | AudioTrack))
    frames = [each for each in outputs if isinstance(each, EncodedFrame)]
    frames.sort(key=lambda frame: frame.dts / frame.track.timescale_hz)
    return tracks, tuple(frames)


class FlvStage:
    """The server's parts, and where it listens."""

    def __init__(self, *, audience: AudienceSettings | None = None) -> None:
        self.clock = SystemClock()
        self.log = SilentLog()
        self.rooms = PaperRooms(unknown={"nowhere"})
        self.hub = Hub(clock=self.clock, directory=InProcessDirectory(worker="w", clock=self.clock), log=self.log)
        self.gate = StreamGate(hub=self.hub, keys=PaperKeys(), clock=self.clock, log=self.log)
        self.fanout = FanOut(
            hub=self.hub,
            check=self.rooms,
            clock=self.clock,
            log=self.log,
            timers=asyncio.get_running_loop(),
            settings=audience,
        )
        self.delivery = FlvDelivery(gate=self.fanout)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/live/demo.flv"
        self.ws_url = f"ws://127.0.0.1:{self.port}/live/demo.flv"

    async def publish(self, room: str = "demo") -> Publication:
        request = PublishRequest(protocol="rtmp", app="live", name=f"{room}-key")
        return await self.gate.open(request, PaperPublisher())

    def viewers(self) -> int:
        return self.fanout.viewers("demo")


@asynccontextmanager
async def serving(*, audience: AudienceSettings | None = None) -> AsyncIterator[FlvStage]:
    """The server, and afterwards nothing of it."""
    stage = FlvStage(audience=audience)
    application = web.Application()
    application.add_routes(stage.delivery.routes())
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", stage.port).start()
    try:
        yield stage
    finally:
        stage.fanout.close()
        stage.delivery.close()
        await runner.cleanup()
        assert stage.log.exceptions == []


def push(publication: Publication, frames: Iterator[EncodedFrame] | tuple[EncodedFrame, ...]) -> None:
    for frame in frames:
        publication.push(frame)


async def push_paced(publication: Publication, frames: tuple[EncodedFrame, ...], *, speed: float = 1.0) -> None:
    """At the pace of their times."""
    began = time.monotonic()
    first = frames[0].dts / frames[0].track.timescale_hz
    for frame in frames:
        due = began + (frame.dts / frame.track.timescale_hz - first) / speed
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        publication.push(frame)


async def until(holds: Callable[[], bool], *, seconds: float = 30.0, what: str = "") -> None:
    """Wait for something another connection brings about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        await asyncio.sleep(0.005)
