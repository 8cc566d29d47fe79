"""An encoder's view of time: frames with the timestamps it would send, when they arrive, and what they truly show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from streamd.live.timeline import TimelineRepair
from streamd.media.frames import EncodedFrame
from streamd.media.ticks import rescale
from streamd.media.tracks import AudioTrack, Codec, Track, VideoTrack

NOON_MS = 1_800_000_000_000


def video_track(nominal_fps: float | None = None, *, width: int = 1280) -> VideoTrack:
    return VideoTrack(
        codec=Codec.H264, config=b"avcC", codec_string="avc1", width=width, height=720, nominal_fps=nominal_fps
    )


def audio_track(rate: int = 48_000, *, samples: int = 1024, codec: Codec = Codec.AAC) -> AudioTrack:
    return AudioTrack(
        codec=codec,
        config=b"\x11\x90",
        codec_string="mp4a.40.2",
        sample_rate_hz=rate,
        channel_count=2,
        samples_per_frame=samples,
    )


class Sent(NamedTuple):
    """One frame on its way. `content_ms` is the instant it shows, on the encoder's true clock."""

    arrives_ms: float
    track: Track
    stamp_ms: int
    content_ms: float
    cts_ms: int = 0

    def frame(self) -> EncodedFrame:
        hz = self.track.timescale_hz
        return EncodedFrame(self.track, rescale(self.stamp_ms, 1_000, hz), self.cts_ms * (hz // 1_000), True, b"\xfc")


class Shown(NamedTuple):
    """What came out of one frame. `at_ms` on the stream's timeline, exact."""

    sent: Sent
    frame: EncodedFrame
    at_ms: Fraction

    @property
    def shift_ms(self) -> float:
        """Timeline minus content: equal for sound and picture that are in sync."""
        return float(self.at_ms - Fraction(self.sent.content_ms))


Stamp = Callable[[float], float]


def pictures(
    track: VideoTrack,
    *,
    fps: Fraction | int = 30,
    begin_ms: float = 0,
    end_ms: float,
    stamp: Stamp = lambda t: t,
    arrival: Stamp = lambda t: t,
    cts_ms: int = 0,
) -> list[Sent]:
    """A steady frame rate between two instants; `stamp` makes an instant's timestamp, `arrival` its wall time."""
    first, last = int(begin_ms * fps / 1_000), int(end_ms * fps / 1_000)
    instants = [index * 1_000 / fps for index in range(first, last)]
    return [Sent(float(arrival(t)), track, int(stamp(t)), float(t), cts_ms) for t in instants]


def sound(
    track: AudioTrack, *, begin_ms: float = 0, end_ms: float, stamp: Stamp = lambda t: t, arrival: Stamp = lambda t: t
) -> list[Sent]:
    """Frames of sound without gaps between two instants."""
    length = Fraction(track.samples_per_frame * 1_000, track.sample_rate_hz)
    first, last = int(begin_ms / length), int(end_ms / length)
    instants = [index * length for index in range(first, last)]
    return [Sent(float(arrival(t)), track, int(stamp(t)), float(t)) for t in instants]


def play(
    timeline: TimelineRepair, sent: Iterable[Sent], *, start_ms: int = NOON_MS, in_order: bool = False
) -> tuple[list[Shown], list[Shown]]:
    """Push frames in order of arrival, which counts from `start_ms`. What came out: pictures, sound."""
    shown: tuple[list[Shown], list[Shown]] = ([], [])
    queue = sent if in_order else sorted(sent, key=lambda each: each.arrives_ms)
    for each in queue:
        frame = timeline.repair(each.frame(), start_ms + int(each.arrives_ms))
        if frame is not None:
            at_ms = Fraction(frame.dts * 1_000, frame.track.timescale_hz)
            shown[0 if frame.track.is_video else 1].append(Shown(each, frame, at_ms))
    return shown


def steps(shown: list[Shown]) -> list[int]:
    """Distances between neighbours, in ticks of the track."""
    times = [each.frame.dts for each in shown]
    return [after - before for before, after in pairwise(times)]
