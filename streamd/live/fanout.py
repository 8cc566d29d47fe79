"""Continuous streams to many viewers: HTTP-FLV, WebSocket-FLV, RTMP play.

In: on-air frames of each stream that anybody watches. Out: bytes to viewers, through `Audience`. Implements `PlayGate`.

Frames are gathered for one tick and written together. One timer a stream, armed by the first frame of a tick, so that
an idle stream costs nothing and a stream nobody watches costs nothing either: the fan-out is attached to a stream by
its first viewer and detached by its last. No task and no queue belongs to a viewer here.

A paused programme keeps its viewers through the grace time; its end is written to them and closes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from streamd.clock import Clock
from streamd.errors import InvalidError, LimitedError, NotFoundError, UnavailableError
from streamd.live.audience import Audience, AudienceSettings, Seat, Tally
from streamd.live.hub import Hub
from streamd.live.playable import Playable
from streamd.media.frames import EncodedFrame
from streamd.media.ports import Playback, PlayRequest, Viewer, WireFormat
from streamd.media.tracks import Track
from streamd.telemetry.log import Log

_RETRY_MS = 2_000


class PlayCheck(Protocol):
    """Knows rooms and who may watch them."""

    async def check(self, request: PlayRequest) -> None:
        """Return where the room exists and this viewer may watch it. Cancel-safe: yes.

        Raises NotFoundError (no such room, without `retry_after_ms`), ForbiddenError, LimitedError, UnavailableError.
        """
        ...


class Mirrors(Protocol):
    """Streams that other workers own."""

    async def stream(self, room: str) -> Playable | None:
        """The mirror of a stream, made if there is none; None where nobody else owns one. Cancel-safe: yes."""
        ...


class TimerHandle(Protocol):
    """A timer that was armed."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """What is used of an event loop."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        """Call once, `delay` seconds from now."""
        ...


class FanOut:
    """See the module's promise."""

    def __init__(
        self,
        *,
        hub: Hub,
        check: PlayCheck,
        clock: Clock,
        log: Log,
        timers: Timers,
        settings: AudienceSettings | None = None,
        mirrors: Mirrors | None = None,
    ) -> None:
        self._hub = hub
        self._check = check
        self._clock = clock
        self._log = log
        self._timers = timers
        self._settings = settings or AudienceSettings()
        self._mirrors = mirrors
        self._streams: dict[Playable, StreamFanOut] = {}
        self._tallies: dict[str, Tally] = {}
        self._closed = False

    async def play(self, request: PlayRequest, wire: WireFormat, viewer: Viewer) -> Playback:
        """See `PlayGate.play`. Also raises InvalidError where neither sound nor pictures are wanted.

        The viewer is written to from within this call on, and may be closed by it.
        """
        if not (request.audio or request.video):
            raise InvalidError(
                "Nothing is left to play", why="both audio and video are turned off", fix="leave one of them on"
            )
        await self._check.check(request)
        stream: Playable | None = self._hub.find(request.room)
        if stream is None and self._mirrors is not None and not self._closed:
            stream = await self._mirrors.stream(request.room)
        self._refuse(request, stream)
        assert stream is not None
        fanout = self._streams.get(stream)
        if fanout is None:
            fanout = self._streams[stream] = StreamFanOut(
                stream,
                clock=self._clock,
                log=self._log,
                timers=self._timers,
                settings=self._settings,
                forget=self._forget,
            )
        return fanout.join(request, wire, viewer, self._tallies.setdefault(wire.name, Tally()))

    def viewers(self, room: str) -> int:
        """How many watch a room's continuous streams in this worker."""
        return sum(fanout.viewers() for stream, fanout in self._streams.items() if stream.room == room)

    def close(self) -> None:
        """Shut down: every viewer is written a clean end. Idempotent."""
        self._closed = True
        for fanout in tuple(self._streams.values()):
            fanout.finish("shutdown")

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        viewers = GaugeMetricFamily("streamd_live_viewers", "Viewers of continuous streams", labels=["protocol"])
        came = CounterMetricFamily("streamd_live_viewers_seated", "Viewers that came", labels=["protocol"])
        size = CounterMetricFamily("streamd_live_viewer_bytes", "Bytes written to viewers", labels=["protocol"])
        skips = CounterMetricFamily(
            "streamd_live_viewer_skips", "Slow viewers skipped to the next key frame", labels=["protocol"]
        )
        drops = CounterMetricFamily(
            "streamd_live_viewer_drops", "Viewers sent away, by reason", labels=["protocol", "reason"]
        )
        for name, tally in sorted(self._tallies.items()):
            viewers.add_metric([name], tally.viewers)
            came.add_metric([name], tally.viewers_total)
            size.add_metric([name], tally.bytes)
            skips.add_metric([name], tally.skips)
            for reason, count in sorted(tally.drops.items()):
                drops.add_metric([name, reason], count)
        return viewers, came, size, skips, drops

    def _refuse(self, request: PlayRequest, stream: Playable | None) -> None:
        if self._closed:
            raise UnavailableError("This node is shutting down", fix="connect again", code="draining")
        if stream is None:
            raise NotFoundError(
                f"Room {request.room} is not live",
                why="no encoder is publishing to it",
                fix="try again once it has started",
                code="not_live",
                retry_after_ms=_RETRY_MS,
            )
        if sum(tally.viewers for tally in self._tallies.values()) >= self._settings.max_viewers:
            raise LimitedError(
                "This node carries no more viewers",
                why=f"{self._settings.max_viewers} are watching here",
                fix="try again, or add a node",
                code="too_many_viewers",
                retry_after_ms=5_000,
            )
        if stream.settled() and not any(request.video if t.is_video else request.audio for t in stream.tracks()):
            raise NotFoundError(
                f"Room {request.room} has nothing of what was asked for",
                why="its stream has no sound, or no pictures, just now",
                fix="ask for both",
                code="no_such_track",
                retry_after_ms=_RETRY_MS,
            )

    def _forget(self, fanout: StreamFanOut) -> None:
        if self._streams.get(fanout.stream) is fanout:
            del self._streams[fanout.stream]


class StreamFanOut:
    """All audiences of one stream. A `FrameSink`."""

    def __init__(
        self,
        stream: Playable,
        *,
        clock: Clock,
        log: Log,
        timers: Timers,
        settings: AudienceSettings,
        forget: Callable[[StreamFanOut], None],
    ) -> None:
        self.stream = stream
        self._clock = clock
        self._log = log
        self._timers = timers
        self._settings = settings
        self._forget = forget
        self._tick_seconds = settings.tick_ms / 1_000
        self._audiences: dict[tuple[str, bool, bool, bool], Audience] = {}
        self._pending: list[EncodedFrame] = []
        self._timer: TimerHandle | None = None
        self._checked_ms = clock.now_ms()
        stream.attach(self)

    # --- FrameSink ---

    def on_frame(self, frame: EncodedFrame) -> None:
        """Gather; the first frame of a tick arms its timer."""
        if not self._pending:
            self._timer = self._timers.call_later(self._tick_seconds, self.flush)
        self._pending.append(frame)

    def on_track(self, track: Track) -> None:
        """Frames of the old configuration go out under it; the new one is noticed with its first frame."""
        del track
        self.flush()

    def on_pause(self) -> None:
        """Nothing lingers; viewers wait."""
        self.flush()

    def on_end(self) -> None:
        """The programme has ended."""
        self.finish("ended")

    # --- viewers ---

    def join(self, request: PlayRequest, wire: WireFormat, viewer: Viewer, tally: Tally) -> Playback:
        """Seat a viewer; where there is something to start from, its first bytes are written at once."""
        self.flush()
        key = (wire.name, request.audio, request.video, request.kinds_fixed)
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(
                self.stream,
                wire,
                audio=request.audio,
                video=request.video,
                kinds_fixed=request.kinds_fixed,
                settings=self._settings,
                tally=tally,
                log=self._log,
            )
        seat = Seat(viewer, from_next_key=request.from_next_key, joined_ms=self._clock.now_ms())
        audience.join(seat)
        return _Playback(self, key, seat)

    def leave(self, key: tuple[str, bool, bool, bool], seat: Seat) -> None:
        """A viewer is gone. With the last one goes the audience, with the last audience the whole."""
        audience = self._audiences.get(key)
        if audience is not None:
            audience.leave(seat)
            self._dismiss_empty()

    def viewers(self) -> int:
        """How many are seated."""
        return sum(len(audience) for audience in self._audiences.values())

    def finish(self, reason: str) -> None:
        """Write everyone the end."""
        self.flush()
        for audience in self._audiences.values():
            audience.finish(reason)
        self._dismiss_empty()

    # --- media ---

    def flush(self) -> None:
        """Write what was gathered."""
        timer, self._timer = self._timer, None
        frames, self._pending = self._pending, []
        if not frames:
            return
        if timer is not None:
            timer.cancel()
        key_at = None
        for index, frame in enumerate(frames):
            if frame.is_sync and frame.track.is_video:
                key_at = index
        for audience in tuple(self._audiences.values()):
            audience.deliver(frames, key_at)
        now_ms = self._clock.now_ms()
        if now_ms - self._checked_ms >= self._settings.check_ms:
            self._checked_ms = now_ms
            for audience in tuple(self._audiences.values()):
                audience.check(now_ms)
            self._dismiss_empty()

    def _dismiss_empty(self) -> None:
        for key in [key for key, audience in self._audiences.items() if not len(audience)]:
            del self._audiences[key]
        if self._audiences:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending = []
        self.stream.detach(self)
        self._forget(self)


class _Playback:
    """A seat that can be given up."""

    __slots__ = ("_fanout", "_key", "_seat")

    def __init__(self, fanout: StreamFanOut, key: tuple[str, bool, bool, bool], seat: Seat) -> None:
        self._fanout = fanout
        self._key = key
        self._seat = seat

    def close(self) -> None:
        self._fanout.leave(self._key, self._seat)
