"""The live streams of this worker.

One `LiveStream` a room, from the first publication until its encoder has been gone for the grace time; each with this
worker's claim on it. One sweep a second ends what has waited long enough and samples every stream's health, so that
nothing of the sort happens per frame or by a timer per stream.

Bound: `max_streams`, refused with LimitedError. After a stream has ended nothing of it remains but the totals that
metrics need: ten thousand names opened and closed leave memory flat.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from streamd.clock import Clock
from streamd.errors import LimitedError, StreamdError
from streamd.live.directory import Claim, Directory
from streamd.live.health import HealthSampler, StreamHealth
from streamd.live.stream import LiveStream, Source, StreamSettings, StreamState
from streamd.media.ports import FrameSink
from streamd.telemetry.log import Log

_SWEEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """Bounds of a worker and of each of its streams."""

    max_streams: int = 1_000
    stream: StreamSettings = field(default_factory=StreamSettings)


class Turn(StrEnum):
    """What can happen to a programme."""

    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFact:
    """Something happened to a room's programme: what a room's notice board and the studio hear of."""

    turn: Turn
    room: str
    at_ms: int  # UTC
    reason: str = ""


class Hub:
    """See the module's promise.

    `sinks` makes what takes every frame of a new stream (the HLS packager); `on_fact` is called synchronously and must
    not block; `on_moved` is told of a room that another worker has taken, before its sinks see the end.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        directory: Directory,
        log: Log,
        settings: HubSettings | None = None,
        sinks: Callable[[LiveStream], Sequence[FrameSink]] = lambda _stream: (),
        on_fact: Callable[[StreamFact], None] = lambda _fact: None,
        on_moved: Callable[[str], None] = lambda _room: None,
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._log = log
        self._settings = settings or HubSettings()
        self._make_sinks = sinks
        self._on_fact = on_fact
        self._on_moved = on_moved
        self._streams: dict[str, LiveStream] = {}
        self._samplers: dict[str, HealthSampler] = {}
        self._to_release: list[Claim] = []
        self._gone = _Totals()

    # --- streams ---

    def find(self, room: str) -> LiveStream | None:
        """The stream of a room that is on air or within its grace time."""
        stream = self._streams.get(room)
        return stream if stream is not None and stream.publications else None

    def streams(self) -> tuple[LiveStream, ...]:
        """All of them, in the order they began."""
        return tuple(self._streams.values())

    async def open(self, room: str) -> LiveStream:
        """The stream of `room`, claimed and made if there is none.

        Raises LimitedError at `max_streams`, UnavailableError from the directory. Cancel-safe: yes.
        """
        stream = self._streams.get(room)
        if stream is not None:
            return stream
        self._refuse_too_many()
        claim = await self._directory.claim(room)
        stream = self._streams.get(room)
        if stream is not None:  # two came at once; the newer claim is the valid one
            stream.claim = max(stream.claim, claim, key=lambda each: each.epoch)
            return stream
        try:
            self._refuse_too_many()
        except LimitedError:
            await self._directory.release(claim)
            raise
        stream = LiveStream(claim=claim, clock=self._clock, settings=self._settings.stream)
        for sink in self._make_sinks(stream):
            stream.attach(sink)
        self._streams[room] = stream
        self._samplers[room] = HealthSampler(stream, now_ms=self._clock.now_ms())
        return stream

    def begin(self, stream: LiveStream, source: Source) -> None:
        """An encoder takes `stream` up."""
        was = stream.state
        again = stream.publications > 0
        stream.begin(source)
        if not again:
            self._tell(stream, Turn.STARTED)
        elif was is StreamState.PAUSED:
            self._tell(stream, Turn.RESUMED)

    def pause(self, stream: LiveStream, reason: str) -> None:
        """The encoder of `stream` is gone."""
        if stream.state is StreamState.ON_AIR:
            self._despite_sinks(stream, lambda: stream.pause(reason))
            self._tell(stream, Turn.PAUSED, reason)

    def end(self, stream: LiveStream, reason: str) -> None:
        """The programme is over, whatever grace was left. Its claim is released by `run` or `close`."""
        if self._streams.get(stream.room) is not stream:
            return
        self._forget(stream, reason)
        self._to_release.append(stream.claim)
        if stream.publications:
            self._tell(stream, Turn.ENDED, reason)

    def hand_over(self, stream: LiveStream) -> None:
        """Another worker has the programme now: for viewers it goes on, so nobody is told that it ended."""
        if self._streams.get(stream.room) is stream:
            self._on_moved(stream.room)
            self._forget(stream, "moved")

    def health(self, room: str) -> StreamHealth | None:
        """What a host is shown; None where nothing is live."""
        if self.find(room) is None:
            return None
        return self._samplers[room].snapshot(now_ms=self._clock.now_ms())

    # --- time ---

    async def run(self) -> None:
        """Sweep once a second, for ever. Cancel-safe: yes."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.sweep()
            await self.release_ended()

    def sweep(self) -> None:
        """End what has waited long enough, sample the rest."""
        now_ms = self._clock.now_ms()
        for stream in self.streams():
            try:
                if stream.grace_over(now_ms):
                    self.end(stream, stream.pause_reason)
                else:
                    stream.watch(now_ms)
                    self._samplers[stream.room].sample(now_ms)
            except Exception:
                # One stream's sink must not keep the others from their sweep.
                self._log.exception("live.sweep_failed", room=stream.room)

    async def release_ended(self) -> None:
        """Give back the claims of ended streams. What the directory cannot take now runs out there by itself."""
        claims, self._to_release = self._to_release, []
        for claim in claims:
            try:
                await self._directory.release(claim)
            except StreamdError as error:
                self._log.warning("live.release_failed", room=claim.room, code=error.code)

    async def close(self) -> None:
        """Shut down: pause everything, end nothing. Players of a restarted server go on where they were."""
        for stream in self.streams():
            self.pause(stream, "shutdown")
            self._to_release.append(stream.claim)
            self._gone.add(stream)
        self._streams.clear()
        self._samplers.clear()
        async with asyncio.timeout(2):
            await self.release_ended()

    # --- what is exported ---

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`. Totals over all streams, gone ones included; nothing is labelled by room."""
        totals = self._gone.copy()
        states: Counter[str] = Counter({StreamState.ON_AIR.value: 0, StreamState.PAUSED.value: 0})
        for stream in self._streams.values():
            totals.add(stream)
            states[stream.state.value] += 1
        streams = GaugeMetricFamily("streamd_live_streams", "Live streams, by state", labels=["state"])
        for state, count in states.items():
            streams.add_metric([state], count)
        frames = CounterMetricFamily("streamd_live_frames", "Frames put on air, by kind", labels=["kind"])
        size = CounterMetricFamily("streamd_live_bytes", "Payload bytes put on air, by kind", labels=["kind"])
        for kind in ("video", "audio"):
            frames.add_metric([kind], totals.frames[kind])
            size.add_metric([kind], totals.bytes[kind])
        repairs = CounterMetricFamily("streamd_live_repairs", "Frames repaired or dropped, by kind", labels=["kind"])
        for kind, count in sorted(totals.repairs.items()):
            repairs.add_metric([kind], count)
        overflows = CounterMetricFamily("streamd_live_gop_overflows", "Groups of pictures too large to keep")
        overflows.add_metric([], totals.gop_overflows)
        return streams, frames, size, repairs, overflows

    # --- inside ---

    def _forget(self, stream: LiveStream, reason: str) -> None:
        del self._streams[stream.room]
        del self._samplers[stream.room]
        self._despite_sinks(stream, stream.end)
        self._gone.add(stream)
        if stream.publications:
            self._log.info(
                "live.stream_ended",
                room=stream.room,
                reason=reason,
                seconds=(self._clock.now_ms() - stream.started_ms) // 1_000,
                publications=stream.publications,
                video_frames=stream.video.frames,
                audio_frames=stream.audio.frames,
            )

    def _refuse_too_many(self) -> None:
        if len(self._streams) >= self._settings.max_streams:
            raise LimitedError(
                "This node carries no more streams",
                why=f"{self._settings.max_streams} are live here",
                fix="wait for one to end, raise the limit or add a node",
                code="too_many_streams",
                retry_after_ms=5_000,
            )

    def _despite_sinks(self, stream: LiveStream, change: Callable[[], None]) -> None:
        """What becomes of a stream is not for its sinks to decide."""
        try:
            change()
        except ExceptionGroup:
            self._log.exception("live.sink_failed", room=stream.room)

    def _tell(self, stream: LiveStream, turn: Turn, reason: str = "") -> None:
        fact = StreamFact(turn=turn, room=stream.room, at_ms=self._clock.utc_ms(), reason=reason)
        try:
            self._on_fact(fact)
        except Exception:
            # Who listens must not decide whether a programme goes on.
            self._log.exception("live.fact_failed", room=stream.room, turn=turn.value)


class _Totals:
    """Sums over streams."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self.gop_overflows = 0

    def add(self, stream: LiveStream) -> None:
        for kind, meter in (("video", stream.video), ("audio", stream.audio)):
            self.frames[kind] += meter.frames
            self.bytes[kind] += meter.bytes
        self.repairs.update(stream.repairs())
        self.gop_overflows += stream.gop.overflows

    def copy(self) -> _Totals:
        other = _Totals()
        other.frames.update(self.frames)
        other.bytes.update(self.bytes)
        other.repairs.update(self.repairs)
        other.gop_overflows = self.gop_overflows
        return other
