"""One room's programme inside this worker, from its first publication to the end of its grace time.

In: the tracks and frames of whichever encoder holds the room (one at a time; `streamd.live.gate` sees to that). Out, in
the same call: repaired frames on the stream's timeline, to every attached `FrameSink`.

Invariants
- Repair happens here, once; nobody downstream mends a timestamp again.
- Video goes on air from a key frame: after a publication begins and after a changed configuration, pictures wait.
- A track is on air when frames of it *flow*, not when it is announced: an encoder that announces sound and never sends
  any would otherwise make every player wait for it (bilibili/flv.js #746).
- The timeline, the counters and `origin_ms` go on across republishes.
- Only track id 0 goes on air. Other tracks (Enhanced RTMP multitrack) are kept on the model and counted.

The path of a frame holds no try, log, allocation of containers or label look-up: 0.6 µs beside repair (1.0 µs) and
sinks.
Not here: who may publish (gate), how frames look to a viewer (fanout), what a host is told (health).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamd.clock import Clock
from streamd.live.directory import Claim
from streamd.live.gop import GopCache
from streamd.live.meters import Meter
from streamd.live.timeline import TimelineRepair
from streamd.media.frames import EncodedFrame
from streamd.media.ports import FrameSink
from streamd.media.tracks import AudioTrack, Track, VideoTrack

_MAX_EXTRA_TRACKS = 16
_MAX_COUNTED_WORDS = 64
_MAX_HINTS = 48
_MAX_HINT_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """What one stream may hold, and how patient it is."""

    grace_ms: int = 45_000  # an encoder that comes back within it continues the programme
    gop_limit_bytes: int = 16 * 1024 * 1024
    gop_limit_frames: int = 2_400  # 10 s at 60 frames/s beside two times 47 audio frames/s, and some
    sound_window_frames: int = 48  # about a second: where a newcomer to a stream without pictures starts
    settle_ms: int = 1_500  # from the first frame: time for the second track to show up
    first_key_ms: int = 10_000  # the same, where pictures are announced and their first key frame is awaited
    audio_silent_ms: int = 5_000  # no audio frame for so long: the stream has no sound just now
    video_silent_ms: int = 30_000  # longer: a shared screen at rest sends a picture now and then


class StreamState(StrEnum):
    """Where a programme stands."""

    ON_AIR = "on_air"
    PAUSED = "paused"  # the encoder is gone and may come back
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The encoder that holds the room."""

    protocol: str  # "rtmp" | "whip"
    encoder: str  # flashVer or User-Agent
    peer: str  # "address:port"
    principal: str


class ExtraTrack:
    """A track that is not on air, and what has come of it."""

    __slots__ = ("bytes", "frames", "track")

    def __init__(self, track: Track) -> None:
        self.track = track
        self.frames = 0
        self.bytes = 0


class LiveStream:
    """See the module's promise. Made by `Hub.open`."""

    def __init__(self, *, claim: Claim, clock: Clock, settings: StreamSettings) -> None:
        self.room = claim.room
        self.claim = claim  # this worker's right to the stream; its epoch is the fencing token
        self.state = StreamState.PAUSED
        self.source: Source | None = None
        self.publications = 0
        self.pause_reason = ""
        self.paused_ms = self.started_ms = clock.now_ms()
        self.started_utc_ms = clock.utc_ms()
        # A second early: a track may reach back a little behind the first frame of the other one, and timestamps of FLV
        # and RTMP are unsigned.
        self.origin_ms = self.started_utc_ms - 1_000
        self.timeline = TimelineRepair()
        self.gop = GopCache(
            limit_bytes=settings.gop_limit_bytes,
            limit_frames=settings.gop_limit_frames,
            audio_frames=settings.sound_window_frames,
        )
        self.tracks_version = 0  # grows whenever `tracks()` would answer differently
        self.last_frame_utc_ms = 0  # of this publication; 0: none yet
        self.video = Meter()
        self.audio = Meter()
        self.extra_tracks: dict[tuple[bool, int], ExtraTrack] = {}
        self.counted: Counter[str] = Counter()  # what ingest repaired or dropped, and what is dropped here
        self.hints: dict[str, str | int | float | bool] = {}

        self._clock = clock
        self._settings = settings
        self._utc_ms = clock.utc_ms
        self._repair = self.timeline.repair
        self._announced_video: VideoTrack | None = None
        self._announced_audio: AudioTrack | None = None
        # The very objects that on-air frames point at; None while no frames of that kind flow.
        self._video_track: Track | None = None
        self._audio_track: Track | None = None
        self._awaiting_key = True
        self._first_frame_ms: int | None = None  # of this publication
        self._video_seen = (0, self.started_ms)  # frames counted, and when that count was first seen
        self._audio_seen = (0, self.started_ms)
        self._sinks: tuple[FrameSink, ...] = ()
        self._on_frame: tuple[Callable[[EncodedFrame], None], ...] = ()

    # --- the encoder's side, called by the publication that the gate seated ---

    def begin(self, source: Source) -> None:
        """An encoder takes the programme up: the first one, one that came back, or one that replaces another."""
        self.source = source
        self.publications += 1
        self.state = StreamState.ON_AIR
        self.timeline.begin(self._utc_ms())
        self.hints = {}
        self.extra_tracks = {}
        self._video_track = self._audio_track = None
        self._awaiting_key = True
        self._first_frame_ms = None
        self.last_frame_utc_ms = 0
        self.video.key_dts = self.video.gop_ticks = self.video.last_dts = self.audio.last_dts = 0
        self.tracks_version += 1

    def announce(self, track: Track) -> None:
        """A codec configuration. An equal one changes nothing, whichever object it is."""
        if track.track_id:
            self._announce_extra(track)
            return
        previous = self._announced_video if track.is_video else self._announced_audio
        if track == previous:
            return
        # Sinks first: they may still hold frames of the old configuration.
        for sink in self._sinks:
            sink.on_track(track)
        if isinstance(track, VideoTrack):
            self._announced_video = track
            self._video_track = None
            self._awaiting_key = True
        else:
            self._announced_audio = track
            self._audio_track = None
        if previous is not None:
            self.gop.reset()
        self.tracks_version += 1

    def push(self, frame: EncodedFrame) -> None:
        """One frame of the encoder's timeline; see `Publication.push`."""
        track = frame.track
        if track is not self._video_track and track is not self._audio_track and not self._admit(frame):
            return
        utc_ms = self.last_frame_utc_ms = self._utc_ms()
        repaired = self._repair(frame, utc_ms)
        if repaired is None:
            return
        _, dts, cts, is_sync, payload = repaired
        size_bytes = len(payload)
        if track.is_video:
            meter = self.video
            if is_sync:
                if meter.key_dts:
                    meter.gop_ticks = dts - meter.key_dts
                meter.key_dts = dts
                meter.key_frames += 1
            if cts != meter.cts:
                meter.cts = cts
                meter.cts_changes += 1
            self.gop.add_video(repaired, size_bytes)
        else:
            meter = self.audio
            if self._video_track is None:
                self.gop.add_sound_alone(repaired)
            else:
                self.gop.add_audio(repaired, size_bytes)
        meter.frames += 1
        meter.bytes += size_bytes
        meter.last_dts = dts
        for on_frame in self._on_frame:
            on_frame(repaired)

    def hint(self, metadata: Mapping[str, object]) -> None:
        """Keep what of onMetaData is small and plain; a host is shown it, nothing believes it."""
        for name, value in metadata.items():
            if len(self.hints) >= _MAX_HINTS and name not in self.hints:
                return
            if isinstance(value, str):
                self.hints[name[:_MAX_HINT_CHARACTERS]] = value[:_MAX_HINT_CHARACTERS]
            elif isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
                self.hints[name[:_MAX_HINT_CHARACTERS]] = value

    def count(self, repair: str, amount: int = 1) -> None:
        """Something was repaired or dropped. At most 64 different words; the rest is counted as "other"."""
        if repair not in self.counted and len(self.counted) >= _MAX_COUNTED_WORDS:
            repair = "other"
        self.counted[repair] += amount

    def pause(self, reason: str) -> None:
        """The encoder is gone. What is cached stays, for viewers who come within the grace time.

        Raises ExceptionGroup of what sinks raised, after all of them were told.
        """
        if self.state is not StreamState.ON_AIR:
            return
        self.state = StreamState.PAUSED
        self.pause_reason = reason
        self.paused_ms = self._clock.now_ms()
        _each(sink.on_pause for sink in self._sinks)

    # --- the hub's side ---

    def end(self) -> None:
        """The programme is over; the object is of no further use. Idempotent. Raises as `pause` does."""
        if self.state is StreamState.ENDED:
            return
        was_on_air = self.state is StreamState.ON_AIR
        self.state = StreamState.ENDED
        sinks, self._sinks, self._on_frame = self._sinks, (), ()
        self.gop.reset()
        pauses = [sink.on_pause for sink in sinks] if was_on_air else []
        _each([*pauses, *(sink.on_end for sink in sinks)])

    def repairs(self) -> Counter[str]:
        """Everything that was mended or dropped, by name: by ingest, here, and on the timeline."""
        return self.counted + Counter(self.timeline.repairs)

    def grace_over(self, now_ms: int) -> bool:
        """Whether a paused programme has waited long enough for its encoder."""
        return self.state is StreamState.PAUSED and now_ms - self.paused_ms >= self._settings.grace_ms

    def watch(self, now_ms: int) -> None:
        """Once a second: notice a kind of media that has ceased to flow."""
        if self.state is not StreamState.ON_AIR:
            self._video_seen, self._audio_seen = (self.video.frames, now_ms), (self.audio.frames, now_ms)
            return
        if self.video.frames != self._video_seen[0]:
            self._video_seen = (self.video.frames, now_ms)
        elif self._video_track is not None and now_ms - self._video_seen[1] >= self._settings.video_silent_ms:
            self._video_track = None
            self.tracks_version += 1
        if self.audio.frames != self._audio_seen[0]:
            self._audio_seen = (self.audio.frames, now_ms)
        elif self._audio_track is not None and now_ms - self._audio_seen[1] >= self._settings.audio_silent_ms:
            self._audio_track = None
            self.tracks_version += 1

    # --- the viewers' side ---

    def attach(self, sink: FrameSink) -> None:
        """From now on `sink` takes every on-air frame. It hears of the announced tracks first."""
        for track in self.announced():
            sink.on_track(track)
        self._sinks = (*self._sinks, sink)
        self._on_frame = tuple(each.on_frame for each in self._sinks)

    def detach(self, sink: FrameSink) -> None:
        """`sink` takes no more. Harmless where it never did."""
        self._sinks = tuple(each for each in self._sinks if each is not sink)
        self._on_frame = tuple(each.on_frame for each in self._sinks)

    def tracks(self) -> tuple[Track, ...]:
        """The tracks on air whose frames flow, video first."""
        return tuple(track for track in (self._video_track, self._audio_track) if track is not None)

    def announced(self) -> tuple[Track, ...]:
        """The on-air tracks by their newest configuration, whether frames have come or not."""
        return tuple(track for track in (self._announced_video, self._announced_audio) if track is not None)

    @property
    def has_pictures(self) -> bool:
        """Whether video flows, so that a newcomer has to start at a key frame."""
        return self._video_track is not None

    def settled(self) -> bool:
        """Whether `tracks()` can be believed: both kinds flow, or a second one has had its time to show up."""
        if self._video_track is not None and self._audio_track is not None:
            return True
        first_ms = self._first_frame_ms
        if first_ms is None:
            return False
        pictures_wait = self._awaiting_key and self._announced_video is not None
        patience_ms = self._settings.first_key_ms if pictures_wait else self._settings.settle_ms
        return self._clock.now_ms() - first_ms >= patience_ms

    # --- inside ---

    def _admit(self, frame: EncodedFrame) -> bool:
        """A frame of a track object that is not flowing: a first one, another revision, or not for the air at all."""
        track = frame.track
        if track.track_id:
            self._count_extra(frame)
            return False
        self.announce(track)
        if track.is_video:
            if self._awaiting_key and not frame.is_sync:
                self.count("video_before_key_frame")
                return False
            self._awaiting_key = False
            began_to_flow = self._video_track is None
            self._video_track = track
        else:
            began_to_flow = self._audio_track is None
            self._audio_track = track
        if began_to_flow:
            self.tracks_version += 1
        if self._first_frame_ms is None:
            self._first_frame_ms = self._clock.now_ms()
        return True

    def _announce_extra(self, track: Track) -> None:
        key = (track.is_video, track.track_id)
        extra = self.extra_tracks.get(key)
        if extra is not None:
            extra.track = track
        elif len(self.extra_tracks) < _MAX_EXTRA_TRACKS:
            self.extra_tracks[key] = ExtraTrack(track)

    def _count_extra(self, frame: EncodedFrame) -> None:
        key = (frame.track.is_video, frame.track.track_id)
        if key not in self.extra_tracks:
            self._announce_extra(frame.track)
        extra = self.extra_tracks.get(key)
        if extra is not None:
            extra.frames += 1
            extra.bytes += len(frame.payload)


def _each(calls: Iterable[Callable[[], None]]) -> None:
    """Call all of them: one sink's failure must not keep the news from the others."""
    failures: list[Exception] = []
    for call in calls:
        try:
            call()
        except Exception as error:
            failures.append(error)
    if failures:
        raise ExceptionGroup("sinks failed", failures)
