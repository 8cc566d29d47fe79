"""What tests of live streams play with: a clock that stands still, timers by hand, encoders and viewers of paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamd.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from streamd.live.audience import AudienceSettings
from streamd.live.directory import InProcessDirectory
from streamd.live.fanout import FanOut
from streamd.live.gate import Elsewhere, GateSettings, Grant, StreamGate
from streamd.live.hub import Hub, HubSettings, StreamFact
from streamd.live.stream import LiveStream
from streamd.media.frames import EncodedFrame
from streamd.media.ports import FrameSink, PlayRequest, Publication, PublishRequest
from streamd.media.tracks import AudioTrack, Codec, Track, VideoTrack
from streamd.telemetry.log import Log
from tests.support.clock import FakeClock

VIDEO = VideoTrack(
    codec=Codec.H264, config=b"avcC-1", codec_string="avc1.640028", width=1280, height=720, nominal_fps=25.0
)
AUDIO = AudioTrack(
    codec=Codec.AAC,
    config=b"\x11\x90",
    codec_string="mp4a.40.2",
    sample_rate_hz=48_000,
    channel_count=2,
    samples_per_frame=1_024,
)


class SilentLog:
    """A log that remembers its events, and by default refuses an exception: nothing is meant to raise."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.exceptions: list[str] = []

    def debug(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    info = warning = error = debug

    def exception(self, event: str, **fields: object) -> None:
        self.exceptions.append(event)


class PaperPublisher:
    """An ingest session that only remembers why it was told to leave."""

    def __init__(self) -> None:
        self.evicted: list[str] = []
        self.publication: Publication | None = None

    def evict(self, reason: str) -> None:
        self.evicted.append(reason)
        # As real sessions do: leaving closes what they hold.
        if self.publication is not None:
            self.publication.close(reason)


class PaperSink:
    """A sink that remembers what it was given."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.frames: list[EncodedFrame] = []
        self.turns: list[str] = []

    def on_track(self, track: Track) -> None:
        self.tracks.append(track)

    def on_frame(self, frame: EncodedFrame) -> None:
        self.frames.append(frame)

    def on_pause(self) -> None:
        self.turns.append("pause")

    def on_end(self) -> None:
        self.turns.append("end")


class PaperTimers:
    """Timers that fire when the test says so."""

    class Handle:
        def __init__(self, timers: PaperTimers, callback: Callable[[], None]) -> None:
            self.timers = timers
            self.callback = callback

        def cancel(self) -> None:
            if self in self.timers.armed:
                self.timers.armed.remove(self)

    def __init__(self) -> None:
        self.armed: list[PaperTimers.Handle] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> PaperTimers.Handle:
        handle = PaperTimers.Handle(self, callback)
        self.armed.append(handle)
        return handle

    def fire(self) -> None:
        armed, self.armed = self.armed, []
        for handle in armed:
            handle.callback()


class PaperViewer:
    """A viewer that remembers, and whose backlog a test may set."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed: str | None = None
        self.backlog = 0

    def write(self, data: bytes) -> None:
        if self.closed is None:
            self.writes.append(data)

    def backlog_bytes(self) -> int:
        return self.backlog

    def close(self, reason: str) -> None:
        if self.closed is None:
            self.closed = reason

    @property
    def text(self) -> str:
        """Everything so far, as `ReadableWire` writes it."""
        return b"".join(self.writes).decode()

    def take(self) -> str:
        """Everything since the last time."""
        text = self.text
        self.writes.clear()
        return text


class ReadableWire:
    """A wire format for people: `[start va] K0 a0 v1 a1 [end]`. Numbers are milliseconds since the first frame's."""

    def __init__(self, name: str = "readable") -> None:
        self._name = name
        self.built = 0

    @property
    def name(self) -> str:
        return self._name

    def start(self, tracks: Sequence[Track], *, origin_ms: int, at_ms: int) -> bytes:
        return f"[start {self._kinds(tracks)} {at_ms - origin_ms}]".encode()

    def tracks(self, tracks: Sequence[Track], *, origin_ms: int, at_ms: int) -> bytes:
        return f"[tracks {self._kinds(tracks)}]".encode()

    def frames(self, frames: Sequence[EncodedFrame], *, origin_ms: int) -> bytes:
        self.built += len(frames)
        return "".join(f" {letter(f)}{f.dts * 1000 // f.track.timescale_hz - origin_ms}" for f in frames).encode()

    def finish(self) -> bytes:
        return b"[end]"

    @staticmethod
    def _kinds(tracks: Sequence[Track]) -> str:
        return "".join("v" if track.is_video else "a" for track in tracks)


def letter(frame: EncodedFrame) -> str:
    """K for a key frame, v for another picture, a for sound."""
    if not frame.track.is_video:
        return "a"
    return "K" if frame.is_sync else "v"


@dataclass
class PaperKeys:
    """`key` of room `name` is `name-key`; the programme's is `name-programme`."""

    banned: set[str] = field(default_factory=set)
    asked: int = 0

    async def check(self, request: PublishRequest) -> Grant:
        self.asked += 1
        room, dash, kind = request.name.rpartition("-")
        if not dash or kind not in ("key", "programme"):
            raise UnauthenticatedError("No such stream key")
        if room in self.banned:
            raise ForbiddenError(f"Room {room} may not go on air")
        return Grant(room=room, principal="programme" if kind == "programme" else f"owner-of-{room}")


@dataclass
class PaperRooms:
    """Every room exists but those named."""

    unknown: set[str] = field(default_factory=set)

    async def check(self, request: PlayRequest) -> None:
        if request.room in self.unknown:
            raise NotFoundError(f"No room {request.room}")


class Stage:
    """Hub, gate and fan-out over paper."""

    def __init__(
        self,
        *,
        hub: HubSettings | None = None,
        gate: GateSettings | None = None,
        audience: AudienceSettings | None = None,
        sinks: Callable[[LiveStream], Sequence[FrameSink]] | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.log = SilentLog()
        self.timers = PaperTimers()
        self.keys = PaperKeys()
        self.rooms = PaperRooms()
        self.facts: list[StreamFact] = []
        self.sinks: list[PaperSink] = []
        self.sleeps: list[float] = []
        self.while_asleep: Callable[[], None] = lambda: None
        self.directory = InProcessDirectory(worker="w1", clock=self.clock)
        log: Log = self.log
        self.hub = Hub(
            clock=self.clock,
            directory=self.directory,
            log=log,
            settings=hub,
            sinks=sinks or self._sink,
            on_fact=self.facts.append,
        )
        self.gate = StreamGate(
            hub=self.hub,
            keys=self.keys,
            clock=self.clock,
            log=log,
            settings=gate,
            sleep=self._sleep,
            elsewhere=elsewhere,
        )
        self.fanout = FanOut(
            hub=self.hub, check=self.rooms, clock=self.clock, log=log, timers=self.timers, settings=audience
        )

    def _sink(self, _stream: LiveStream) -> Sequence[FrameSink]:
        self.sinks.append(PaperSink())
        return self.sinks[-1:]

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.clock.advance(round(seconds * 1_000))
        self.while_asleep()

    async def encoder(self, room: str = "demo", *, kind: str = "key", encoder: str = "OBS") -> PaperEncoder:
        """A publication of `room`."""
        publisher = PaperPublisher()
        request = PublishRequest(
            protocol="rtmp", app="live", name=f"{room}-{kind}", peer="192.0.2.1:5000", encoder=encoder
        )
        publication = publisher.publication = await self.gate.open(request, publisher)
        return PaperEncoder(self, publication, publisher)

    async def viewer(self, room: str = "demo", wire: ReadableWire | None = None, **wants: bool) -> PaperViewer:
        viewer = PaperViewer()
        await self.fanout.play(PlayRequest(room=room, **wants), wire or ReadableWire(), viewer)
        return viewer

    def stream(self, room: str = "demo") -> LiveStream:
        stream = self.hub.find(room)
        assert stream is not None
        return stream

    def seconds(self, count: int) -> None:
        """Time passes with a sweep every second."""
        for _ in range(count):
            self.clock.advance(1_000)
            self.hub.sweep()


class PaperEncoder:
    """25 pictures and 46.875 packets of sound a second, or a part of that."""

    def __init__(self, stage: Stage, publication: Publication, publisher: PaperPublisher) -> None:
        self.stage = stage
        self.publication = publication
        self.publisher = publisher
        self.video: VideoTrack = VIDEO
        self.audio: AudioTrack = AUDIO
        self.gop = 50
        self.payload = b"p" * 1_000
        self.pictures = 0
        self.packets = 0
        self.elapsed_ms = 0

    def announce(self, *tracks: Track) -> None:
        for track in tracks or (self.video, self.audio):
            self.publication.announce(track)

    def picture(self, *, key: bool | None = None, payload: bytes = b"", cts: int = 0) -> None:
        is_key = self.pictures % self.gop == 0 if key is None else key
        self.publication.push(EncodedFrame(self.video, self.pictures * 3_600, cts, is_key, payload or self.payload))
        self.pictures += 1

    def sound(self, payload: bytes = b"s" * 100) -> None:
        self.publication.push(EncodedFrame(self.audio, self.packets * 1_024, 0, True, payload))
        self.packets += 1

    def run(self, ms: int, *, video: bool = True, audio: bool = True, tick: bool = True) -> None:
        """As much as belongs to `ms`, in step with the clock; timers fire every 20 ms, a sweep runs every second."""
        stage = self.stage
        for _ in range(ms // 20):
            stage.clock.advance(20)
            self.elapsed_ms += 20
            while self.pictures * 40 < self.elapsed_ms:
                if video:
                    self.picture()
                else:
                    self.pictures += 1
            while self.packets * 1_024 < self.elapsed_ms * 48:
                if audio:
                    self.sound()
                else:
                    self.packets += 1
            if tick:
                stage.timers.fire()
            if stage.clock.now_ms() % 1_000 == 0:
                stage.hub.sweep()


def frames_of(sink: PaperSink) -> str:
    """What a sink was given, as letters."""
    return "".join(letter(frame) for frame in sink.frames)
