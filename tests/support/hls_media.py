"""Frames for the packager: real ones out of encoded FLV files, and synthetic ones at any rhythm.

All on the stream's timeline, in the order in which an encoder would send them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from rtmp_ingest.frames import FrameReader
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Message
from streamd.live.timeline import TimelineRepair
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, Codec, Track, VideoTrack
from tests.support import coded

START_MS = 1_800_000_000_000

VIDEO = VideoTrack(
    codec=Codec.H264,
    config=bytes.fromhex("0142c01effe1000b6742c01ed9005005bb0110010004 68cb83cb"),
    codec_string="avc1.42c01e",
    width=1280,
    height=720,
    nominal_fps=None,
)
AUDIO = AudioTrack(
    codec=Codec.AAC,
    config=bytes.fromhex("1190"),
    codec_string="mp4a.40.2",
    sample_rate_hz=48_000,
    channel_count=2,
    samples_per_frame=1_024,
)
AUDIO_44100 = replace(AUDIO, config=bytes.fromhex("1210"), sample_rate_hz=44_100)
OPUS = replace(
    AUDIO,
    codec=Codec.OPUS,
    config=bytes.fromhex("000201380000bb80000000"),
    codec_string="opus",
    samples_per_frame=960,
)
OTHER_VIDEO = replace(VIDEO, config=VIDEO.config + b"\0", width=720, height=1280)


def real_frames(flv: bytes) -> list[EncodedFrame]:
    """What ingest and repair make of an FLV file that arrives in real time from `START_MS` on."""
    reader = FrameReader(limits=RtmpLimits())
    repair = TimelineRepair()
    repair.begin(START_MS)
    frames = []
    for tag in coded.messages(flv):
        outputs: list[object] = []
        reader.receive(Message(tag.kind, 1, tag.timestamp_ms, tag.body), outputs)  # type: ignore[arg-type]
        for output in outputs:
            if isinstance(output, EncodedFrame):
                mended = repair.repair(output, START_MS + tag.timestamp_ms)
                if mended is not None:
                    frames.append(mended)
    return frames


def pictures(
    fps: Fraction | float,
    *,
    seconds: float,
    gop: int = 60,
    start_ms: int = START_MS,
    track: VideoTrack = VIDEO,
    milliseconds: bool = False,
    size_bytes: int = 2_000,
    keys: Callable[[int], bool] | None = None,
    cts: Callable[[int], int] = lambda _: 0,
    jitter: Callable[[int], int] = lambda _: 0,
) -> list[EncodedFrame]:
    """A regular video track. `milliseconds`: timestamps rounded as RTMP has them; `jitter`: ticks added to each."""
    is_key = keys or (lambda index: index % gop == 0)
    frames = []
    for index in range(round(seconds * float(fps))):
        ticks = round(Fraction(index) / Fraction(fps) * 90_000)
        if milliseconds:
            ticks = round(Fraction(index * 1_000) / Fraction(fps)) * 90
        dts = start_ms * 90 + ticks + jitter(index)
        key = is_key(index)
        payload = _payload(index, size_bytes * (8 if key else 1))
        frames.append(EncodedFrame(track, dts, cts(index), key, payload))
    return frames


def pictures_at(
    times_ms: Iterable[float], *, keys: Sequence[int] = (0,), start_ms: int = START_MS
) -> list[EncodedFrame]:
    """A video track with frames at any times."""
    return [
        EncodedFrame(VIDEO, start_ms * 90 + round(at * 90), 0, index in keys, _payload(index, 1_000))
        for index, at in enumerate(times_ms)
    ]


def sounds(
    *, seconds: float, start_ms: int = START_MS, track: AudioTrack = AUDIO, size_bytes: int = 300
) -> list[EncodedFrame]:
    """A contiguous audio track."""
    hz, step = track.sample_rate_hz, track.samples_per_frame
    first = start_ms * hz // 1_000
    return [
        EncodedFrame(track, first + index * step, 0, True, _payload(index, size_bytes))
        for index in range(round(seconds * hz / step))
    ]


def interleaved(*tracks: Sequence[EncodedFrame]) -> Iterator[EncodedFrame]:
    """By decode time, as a muxer sends them; the first argument first where times are equal."""
    keyed = [
        (Fraction(frame.dts, frame.track.timescale_hz), order, frame)
        for order, track in enumerate(tracks)
        for frame in track
    ]
    return (frame for _, _, frame in sorted(keyed, key=lambda each: each[:2]))


def seconds_of(frame: EncodedFrame) -> Fraction:
    """Decode time."""
    return Fraction(frame.dts, frame.track.timescale_hz)


def tracks_of(frames: Iterable[EncodedFrame]) -> list[Track]:
    """The distinct revisions, in order of appearance."""
    found: list[Track] = []
    for frame in frames:
        if frame.track not in found:
            found.append(frame.track)
    return found


def _payload(index: int, size_bytes: int) -> bytes:
    """Bytes that tell which frame they are; the length prefix of one NAL unit in front."""
    return (size_bytes - 4).to_bytes(4, "big") + index.to_bytes(4, "big") * (size_bytes // 4 - 1)
