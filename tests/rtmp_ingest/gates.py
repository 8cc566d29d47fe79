"""A server on a free port with the simplest house behind it: one key, one room, everything recorded."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rtmp_ingest.limits import RtmpLimits, RtmpSettings
from rtmp_ingest.server import RtmpServer
from streamd.clock import Clock, SystemClock
from streamd.errors import NotFoundError, UnauthenticatedError
from streamd.media.frames import EncodedFrame
from streamd.media.ports import PlayRequest, Publication, Publisher, PublishRequest, Viewer, WireFormat
from streamd.media.tracks import Track
from streamd.telemetry.metrics import Metrics

KEY = "demo-key"
LOOPBACK = RtmpSettings(host="127.0.0.1", port=0)


async def until(holds: Callable[[], object], *, within_s: float = 10) -> None:
    """Wait for what has no event of its own."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  # it has no event of its own
            await asyncio.sleep(0.01)


class RecordedPublication:
    """Implements `Publication`."""

    def __init__(self, room: str) -> None:
        self._room = room
        self.tracks: list[Track] = []
        self.frames: list[EncodedFrame] = []
        self.hints: list[Mapping[str, object]] = []
        self.counts: Counter[str] = Counter()
        self.reasons: list[str] = []
        self.closed = asyncio.Event()
        self.moved = asyncio.Event()  # set at every frame; a test that waits clears it

    @property
    def room(self) -> str:
        return self._room

    def announce(self, track: Track) -> None:
        self.tracks.append(track)

    def push(self, frame: EncodedFrame) -> None:
        if not self.reasons:
            self.frames.append(frame)
            self.moved.set()

    def hint(self, metadata: Mapping[str, object]) -> None:
        self.hints.append(metadata)

    def count(self, repair: str, amount: int = 1) -> None:
        self.counts[repair] += amount

    def close(self, reason: str) -> None:
        self.reasons.append(reason)
        self.closed.set()

    async def has(self, frames_count: int) -> None:
        """Wait until so many frames are here."""
        async with asyncio.timeout(30):
            while len(self.frames) < frames_count:
                self.moved.clear()
                await self.moved.wait()


class OneKeyGate:
    """Implements `PublishGate`: the newest holder of the key has the room."""

    def __init__(self) -> None:
        self.requests: list[PublishRequest] = []
        self.publications: list[RecordedPublication] = []
        self.opened = asyncio.Event()
        self.decided = asyncio.Event()
        self.decided.set()
        self.cancelled = 0
        self.error: Exception | None = None
        self._holder: tuple[RecordedPublication, Publisher] | None = None

    async def open(self, request: PublishRequest, publisher: Publisher) -> Publication:
        self.requests.append(request)
        try:
            await self.decided.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        if KEY not in (request.name, request.query.get("key")):
            raise UnauthenticatedError("No such stream key")
        before, publication = self._holder, RecordedPublication("demo")
        self._holder = (publication, publisher)
        self.publications.append(publication)
        if before is not None and not before[0].reasons:
            before[1].evict("replaced")
        self.opened.set()
        return publication

    async def publication(self, number: int = 1) -> RecordedPublication:
        """The `number`th publication, once it is there."""
        async with asyncio.timeout(30):
            while len(self.publications) < number:
                self.opened.clear()
                await self.opened.wait()
        return self.publications[number - 1]


class FilmGate:
    """Implements `PlayGate`: whoever comes to room "demo" is shown the same film from its start."""

    def __init__(self, tracks: list[Track] | None = None, frames: list[EncodedFrame] | None = None) -> None:
        self.tracks = tracks or []
        self.frames = frames or []
        self.is_endless = False
        self.requests: list[PlayRequest] = []
        self.viewers: list[Viewer] = []
        self.seated = asyncio.Event()
        self.left = asyncio.Event()
        self.wire: WireFormat | None = None

    async def play(self, request: PlayRequest, wire: WireFormat, viewer: Viewer) -> FilmGate:
        self.requests.append(request)
        if request.room != "demo":
            raise NotFoundError("There is no such room")
        self.viewers.append(viewer)
        self.wire = wire
        if self.frames:
            viewer.write(wire.start(self.tracks, origin_ms=0, at_ms=0))
            viewer.write(wire.frames(self.frames, origin_ms=0))
        if not self.is_endless:
            viewer.write(wire.finish())
            viewer.close("ended")
        self.seated.set()
        return self

    def close(self) -> None:
        self.left.set()


class RecordedLog:
    """Implements `Log`."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []
        self.closed = asyncio.Event()

    def _add(self, level: str, event: str, fields: dict[str, object]) -> None:
        self.lines.append((level, event, fields))
        if event == "rtmp.session_closed":
            self.closed.set()

    def debug(self, event: str, **fields: object) -> None:
        self._add("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._add("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._add("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._add("error", event, fields)

    def exception(self, event: str, **fields: object) -> None:
        self._add("exception", event, fields)

    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]

    def fields(self, event: str) -> dict[str, object]:
        """Of the last line of this name."""
        return next(fields for _, name, fields in reversed(self.lines) if name == event)

    async def session_closed(self, sessions_count: int = 1) -> dict[str, object]:
        """Wait for so many closing lines; the last one's fields."""
        async with asyncio.timeout(30):
            while self.events().count("rtmp.session_closed") < sessions_count:
                self.closed.clear()
                await self.closed.wait()
        return self.fields("rtmp.session_closed")


@dataclass
class House:
    """A running server and what it recorded."""

    server: RtmpServer
    gate: OneKeyGate
    film: FilmGate
    log: RecordedLog
    metrics: Metrics = field(default_factory=Metrics)

    def url(self, name: str = KEY, *, app: str = "live", scheme: str = "rtmp") -> str:
        port = self.server.tls_port if scheme == "rtmps" else self.server.port
        return f"{scheme}://127.0.0.1:{port}/{app}/{name}"

    def metric(self, line_start: str) -> str:
        """The value of the first metric line that begins so."""
        page = self.metrics.render().decode()
        return next(line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(line_start))


@asynccontextmanager
async def house(
    *,
    settings: RtmpSettings = LOOPBACK,
    limits: RtmpLimits | None = None,
    film: FilmGate | None = None,
    clock: Clock | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[House]:
    """A server that is started, run and stopped as the product does it."""
    if limits is not None:
        settings = RtmpSettings(
            host=settings.host,
            port=settings.port,
            tls_port=settings.tls_port,
            trusted_addresses=settings.trusted_addresses,
            limits=limits,
        )
    gate, film, log, metrics = OneKeyGate(), film or FilmGate(), RecordedLog(), Metrics()
    server = RtmpServer(
        gate=gate,
        play_gate=film,
        clock=clock or SystemClock(),
        metrics=metrics,
        log=log,
        settings=settings,
        ssl_context=ssl_context,
    )
    server.listen()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        try:
            yield House(server, gate, film, log, metrics)
        finally:
            await server.stop("shutdown", within_ms=2_000)
