"""What is pushed, decoded by FFmpeg: the clock is readable, time adds up, and lips match."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import pytest

from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, Codec, VideoTrack
from streamd.programme import strip
from streamd.programme.card import TestCard
from streamd.programme.encoders import Studio

FPS = 30
FIRST = 1_795_176_000 * FPS + 10  # a third of a second past noon


@pytest.fixture(scope="module")
def card() -> TestCard:
    return TestCard(width=1280, height=720, fps=FPS)


def studio(card: TestCard, *, most_bps: int = 2_000_000, first: int = FIRST) -> Studio:
    return Studio(card=card, gop_s=2, most_bps=most_bps, first=first)


def of(frames: Sequence[EncodedFrame], kind: type) -> list[EncodedFrame]:
    return [frame for frame in frames if isinstance(frame.track, kind)]


def decoded(frames: Sequence[EncodedFrame], codec: str) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Frames through FFmpeg's decoder. Their pts are ticks of the track."""
    context = av.CodecContext.create(codec, "r")
    context.extradata = frames[0].track.config
    for frame in frames:
        packet = av.Packet(frame.payload)
        packet.dts, packet.pts = frame.dts, frame.dts + frame.cts
        packet.time_base = Fraction(1, frame.track.timescale_hz)
        yield from context.decode(packet)
    yield from context.decode(None)


def clock_of(frame: av.VideoFrame) -> int | None:
    plane = frame.planes[0]
    return strip.read_luma(memoryview(plane), width=frame.width, height=frame.height, stride=plane.line_size)


@pytest.mark.parametrize("most_bps", [600_000, 1_000_000, 2_000_000])
def test_the_clock_is_read_exactly_at_every_bit_rate_and_size(card: TestCard, most_bps: int) -> None:
    made = studio(card, most_bps=most_bps)
    frames = [frame for number in range(FIRST, FIRST + 40) for frame in made.produce(number)]
    pictures = [frame for frame in decoded(of(frames, VideoTrack), "h264") if isinstance(frame, av.VideoFrame)]
    expected = [number * 1000 // FPS for number in range(FIRST, FIRST + 40)]
    assert [clock_of(picture) for picture in pictures] == expected
    for width, height in ((854, 480), (640, 360), (426, 240)):
        smaller = [picture.reformat(width=width, height=height) for picture in pictures[::7]]
        assert [clock_of(picture) for picture in smaller] == expected[::7]


def test_tracks_say_what_the_frames_are(card: TestCard) -> None:
    video, audio = studio(card).tracks
    assert (video.codec, video.width, video.height) == (Codec.H264, 1280, 720)
    assert (audio.codec, audio.sample_rate_hz, audio.channel_count, audio.samples_per_frame) == (
        Codec.AAC,
        48_000,
        1,
        1024,
    )


def test_time_starts_at_zero_and_steps_evenly(card: TestCard) -> None:
    made = studio(card)
    frames = [frame for number in range(FIRST, FIRST + 90) for frame in made.produce(number)]
    assert [(frame.dts, frame.cts) for frame in of(frames, VideoTrack)] == [(n * 3000, 0) for n in range(90)]
    audio = of(frames, AudioTrack)
    assert [frame.dts for frame in audio] == [n * 1024 for n in range(len(audio))]
    # Sound is not behind the picture: the last frame covers the last picture's moment.
    assert audio[-1].dts + 1024 > frames[-1].dts * 48_000 // 90_000
    times = [Fraction(frame.dts, frame.track.timescale_hz) for frame in frames]
    assert times == sorted(times)


def test_groups_of_pictures_are_whole_from_the_first_one_on(card: TestCard) -> None:
    made = studio(card)
    frames = of([frame for number in range(FIRST, FIRST + 170) for frame in made.produce(number)], VideoTrack)
    keys = [index for index, frame in enumerate(frames) if frame.is_sync]
    assert keys == [0, 60, 120]


def test_frames_left_out_leave_one_gap_in_both_tracks_and_a_key_frame_after_it(card: TestCard) -> None:
    made = studio(card)
    before = [frame for number in range(FIRST, FIRST + 20) for frame in made.produce(number)]
    after = [frame for number in range(FIRST + 200, FIRST + 230) for frame in made.produce(number)]
    video = of(after, VideoTrack)
    assert (video[0].dts, video[0].is_sync) == (200 * 3000, True)
    audio = [frame.dts for frame in of([*before, *after], AudioTrack)]
    steps = {late - early for early, late in itertools.pairwise(audio)}
    assert min(steps) == 1024
    assert len(steps) == 2
    assert abs(audio[-1] - (229 * 1600)) <= 1024


def test_flash_and_beep_are_at_the_same_moment(card: TestCard) -> None:
    made = studio(card)
    frames = [frame for number in range(FIRST, FIRST + 80) for frame in made.produce(number)]
    flashes = []
    was_lit = True
    for picture in decoded(of(frames, VideoTrack), "h264"):
        assert isinstance(picture, av.VideoFrame)
        assert picture.pts is not None
        plane = picture.planes[0]
        is_lit = memoryview(plane)[306 * plane.line_size + 1080] > 150
        if is_lit and not was_lit:
            flashes.append(picture.pts / 90_000)
        was_lit = is_lit
    beeps = []
    quiet_for = 0
    for sound in decoded(of(frames, AudioTrack), "aac"):
        assert isinstance(sound, av.AudioFrame)
        assert sound.pts is not None
        for index, level in enumerate(array("f", bytes(sound.planes[0])[: sound.samples * 4])):
            if abs(level) > 0.05 and quiet_for > 10_000:
                beeps.append((sound.pts + index) / 48_000)
            quiet_for = 0 if abs(level) > 0.05 else quiet_for + 1
    assert len(flashes) == len(beeps) == 2
    assert all(abs(flash - beep) < 0.020 for flash, beep in zip(flashes, beeps, strict=True))
