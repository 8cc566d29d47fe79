"""How an encoder is doing, as a host is shown it (`GET /api/v1/rooms/ROOM/stream`).

In: the plain counters of a `LiveStream`, read once a second. Out: `StreamHealth`, a value. Rates are over the last ten
seconds of one publication; frame rates are counted on the stream's own timeline, so that a burst on the network does
not look like a change of frame rate, and how fast that timeline advances is shown by itself (`pace`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from streamd.live.advice import Advice, Reading, advise
from streamd.live.stream import ExtraTrack, LiveStream, StreamState
from streamd.media.tracks import AudioTrack, Track, VideoTrack

_WINDOW_SAMPLES = 11  # ten intervals of a second
_FPS_SPREAD = 0.3  # of the mean, between the best and the worst second of the window
_FPS_SPREAD_FRAMES = 3
_NO_FAULT = frozenset({"audio_slew", "source_gap"})  # repairs that every healthy encoder causes now and then
_PACE_MS = 5_000  # less says nothing: encoders send in bursts


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoHealth:
    """The pictures on air."""

    codec: str
    codec_string: str
    width: int
    height: int
    video_range: str
    fps: float
    bitrate_bps: int
    gop_ms: int | None  # between key frames; the running one where it is longer already. None: not known yet
    b_frames: bool
    flowing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioHealth:
    """The sound on air."""

    codec: str
    codec_string: str
    sample_rate_hz: int
    channel_count: int
    bitrate_bps: int
    flowing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraTrackHealth:
    """A track that is received and not on air."""

    kind: str  # "video" | "audio"
    track_id: int
    codec: str
    frames: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """One stream at one moment."""

    room: str
    state: str  # "on_air" | "paused"
    on_air: bool
    protocol: str
    encoder: str
    started_at_ms: int  # UTC
    uptime_ms: int
    publications: int
    paused_ms: int  # how long the encoder has been gone; 0 on air
    video: VideoHealth | None
    audio: AudioHealth | None
    bitrate_bps: int
    pace: float | None  # media seconds received per second; 1.0 is real time. None: too early to say
    drift_ms: int
    repairs: Mapping[str, int]
    tracks: tuple[ExtraTrackHealth, ...]
    hints: Mapping[str, str | int | float | bool]
    warnings: tuple[Advice, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain dicts and lists, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> StreamHealth:
        """What `as_dict` was made of, after a journey as JSON."""
        video, audio = said["video"], said["audio"]
        parts = {
            "video": VideoHealth(**video) if video is not None else None,
            "audio": AudioHealth(**audio) if audio is not None else None,
            "tracks": tuple(ExtraTrackHealth(**track) for track in said["tracks"]),
            "warnings": tuple(Advice(**advice) for advice in said["warnings"]),
        }
        return cls(**{**said, **parts})


class _Sample(NamedTuple):
    now_ms: int
    video_frames: int
    video_bytes: int
    video_dts: int
    audio_frames: int
    audio_bytes: int
    audio_dts: int
    cts_changes: int
    mended: int  # timestamps


class HealthSampler:
    """Remembers ten seconds of one stream's counters."""

    def __init__(self, stream: LiveStream, *, now_ms: int) -> None:
        self._stream = stream
        self._publication = -1
        self._samples: deque[_Sample] = deque(maxlen=_WINDOW_SAMPLES)
        self._sound_ms = self._pictures_ms = now_ms  # when a frame was last known to have come
        self.sample(now_ms)

    def sample(self, now_ms: int) -> None:
        """Once a second."""
        stream = self._stream
        video, audio = stream.video, stream.audio
        if stream.publications != self._publication:
            self._publication = stream.publications
            self._samples.clear()
            self._sound_ms = self._pictures_ms = now_ms
        elif self._samples:
            last = self._samples[-1]
            if audio.frames != last.audio_frames:
                self._sound_ms = now_ms
            if video.frames != last.video_frames:
                self._pictures_ms = now_ms
        self._samples.append(
            _Sample(
                now_ms,
                video.frames,
                video.bytes,
                video.last_dts,
                audio.frames,
                audio.bytes,
                audio.last_dts,
                video.cts_changes,
                sum(count for word, count in stream.timeline.repairs.items() if word not in _NO_FAULT),
            )
        )

    def snapshot(self, *, now_ms: int) -> StreamHealth:
        """The stream as it stands. Cheap enough for every request."""
        stream = self._stream
        tracks = {track.is_video: track for track in stream.announced()}
        video = self._video(tracks.get(True))
        audio = self._audio(tracks.get(False))
        pace = self._pace()
        on_air = stream.state is StreamState.ON_AIR
        repairs = dict(sorted(stream.repairs().items()))
        reading = Reading(
            gop_ms=video.gop_ms if video else None,
            b_frames=video is not None and video.b_frames,
            silent_ms=now_ms - self._sound_ms,
            blind_ms=now_ms - self._pictures_ms,
            pace=pace,
            fps=video.fps if video else 0.0,
            fps_spread=self._fps_spread(),
            bitrate_bps=(video.bitrate_bps if video else 0) + (audio.bitrate_bps if audio else 0),
            mended_lately=self._samples[-1].mended - self._samples[0].mended,
            unsupported=tuple(word for word in repairs if word.startswith("unsupported")),
            hints=stream.hints,
        )
        source = stream.source
        return StreamHealth(
            room=stream.room,
            state=stream.state.value,
            on_air=on_air,
            protocol=source.protocol if source else "",
            encoder=source.encoder if source else "",
            started_at_ms=stream.started_utc_ms,
            uptime_ms=now_ms - stream.started_ms,
            publications=stream.publications,
            paused_ms=0 if on_air else now_ms - stream.paused_ms,
            video=video,
            audio=audio,
            bitrate_bps=reading.bitrate_bps,
            pace=pace,
            drift_ms=stream.timeline.drift_ms,
            repairs=repairs,
            tracks=tuple(_extra(key, track) for key, track in sorted(stream.extra_tracks.items())),
            hints=dict(stream.hints),
            warnings=advise(reading) if on_air else (),
        )

    def _video(self, track: Track | None) -> VideoHealth | None:
        if not isinstance(track, VideoTrack):
            return None
        stream, first, last = self._stream, self._samples[0], self._samples[-1]
        counting = next((sample for sample in self._samples if sample.video_dts), last)
        meter = stream.video
        gop_ticks = max(meter.gop_ticks, meter.last_dts - meter.key_dts) if meter.key_dts else 0
        ticks = last.video_dts - counting.video_dts
        frames = last.video_frames - counting.video_frames
        return VideoHealth(
            codec=track.codec.value,
            codec_string=track.codec_string,
            width=track.width,
            height=track.height,
            video_range=track.video_range,
            fps=round(frames * track.timescale_hz / ticks, 2) if ticks > 0 else 0.0,
            bitrate_bps=_rate(last.video_bytes - first.video_bytes, last.now_ms - first.now_ms),
            gop_ms=gop_ticks * 1_000 // track.timescale_hz if meter.gop_ticks or gop_ticks > _LONG_TICKS else None,
            b_frames=last.cts_changes - first.cts_changes > 1,
            flowing=stream.has_pictures,
        )

    def _audio(self, track: Track | None) -> AudioHealth | None:
        if not isinstance(track, AudioTrack):
            return None
        first, last = self._samples[0], self._samples[-1]
        return AudioHealth(
            codec=track.codec.value,
            codec_string=track.codec_string,
            sample_rate_hz=track.sample_rate_hz,
            channel_count=track.channel_count,
            bitrate_bps=_rate(last.audio_bytes - first.audio_bytes, last.now_ms - first.now_ms),
            flowing=any(not flowing.is_video for flowing in self._stream.tracks()),
        )

    def _pace(self) -> float | None:
        """Media time against time, over the window, by whichever kind there is."""
        for track in self._stream.tracks()[:1]:
            points = [
                (sample.now_ms, dts)
                for sample in self._samples
                if (dts := sample.video_dts if track.is_video else sample.audio_dts)
            ]
            if points and points[-1][0] - points[0][0] >= _PACE_MS:
                (began_ms, began), (ended_ms, ended) = points[0], points[-1]
                return round((ended - began) * 1_000 / track.timescale_hz / (ended_ms - began_ms), 3)
        return None

    def _fps_spread(self) -> float:
        """Frames per second of the best second minus those of the worst, 0 while that is nothing unusual."""
        seconds: list[float] = []
        for before, after in zip(self._samples, list(self._samples)[1:], strict=False):
            ticks = after.video_dts - before.video_dts
            if before.video_dts and ticks > 0:
                seconds.append((after.video_frames - before.video_frames) * _VIDEO_HZ / ticks)
        if len(seconds) < 5:
            return 0.0
        spread = max(seconds) - min(seconds)
        usual = max(_FPS_SPREAD_FRAMES, _FPS_SPREAD * sum(seconds) / len(seconds))
        return round(spread, 1) if spread > usual else 0.0


_VIDEO_HZ = VideoTrack.timescale_hz
_LONG_TICKS = 4 * _VIDEO_HZ


def _rate(size_bytes: int, elapsed_ms: int) -> int:
    return size_bytes * 8_000 // elapsed_ms if elapsed_ms > 0 else 0


def _extra(key: tuple[bool, int], extra: ExtraTrack) -> ExtraTrackHealth:
    is_video, track_id = key
    return ExtraTrackHealth(
        kind="video" if is_video else "audio",
        track_id=track_id,
        codec=extra.track.codec.value,
        frames=extra.frames,
        bytes=extra.bytes,
    )
