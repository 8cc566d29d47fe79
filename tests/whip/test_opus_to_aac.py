"""Opus to AAC: time exact to the sample whatever is missing, order kept, threads bounded."""

from __future__ import annotations

import asyncio
import math
import struct
import threading
from functools import cache
from itertools import pairwise

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media import opus
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, Codec
from streamd.whip import opus_rtp
from streamd.whip.opus_to_aac import OpusToAac, Output, SoundSettings, SoundWorkshop

ZERO = 240_000_000  # where the session's clock stands
BEEP = 48_000
SETTINGS = SoundSettings()


@cache
def packets(layout: str = "stereo") -> tuple[tuple[int, bytes], ...]:
    """Three seconds of Opus with their places: silence, and from BEEP on for a fifth of a second a tone of 1 kHz."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, layout, "s16", 96_000
    encoder.open()
    channels = 2 if layout == "stereo" else 1
    found: list[tuple[int, bytes]] = []
    for start in range(0, 3 * 48_000, 960):
        wave = [
            round(12_000 * math.sin(at * 2 * math.pi / 48)) if BEEP <= at < BEEP + 9_600 else 0
            for at in range(start, start + 960)
        ]
        frame = av.AudioFrame("s16", layout, 960)
        frame.planes[0].update(struct.pack(f"<{960 * channels}h", *(value for value in wave for _ in range(channels))))
        frame.sample_rate, frame.pts = 48_000, start
        found += [(packet.pts or 0, bytes(packet)) for packet in encoder.encode(frame)]
    return tuple(found)


def frames(which: tuple[tuple[int, bytes], ...] | None = None) -> list[EncodedFrame]:
    track = opus_rtp.track()
    return [EncodedFrame(track, ZERO + at, 0, True, payload) for at, payload in which or packets()]


def converted(given_frames: list[EncodedFrame]) -> list[EncodedFrame]:
    track, *out = OpusToAac(channel_bps=64_000).convert(given_frames)
    assert isinstance(track, AudioTrack)
    assert all(isinstance(each, EncodedFrame) and each.track is track for each in out)
    return [each for each in out if isinstance(each, EncodedFrame)]


def samples(out: list[EncodedFrame]) -> tuple[int, list[float]]:
    """The place of the first sample, and the left channel from there."""
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(out[0].track, AudioTrack)
    decoder.extradata = out[0].track.config
    wave: list[float] = []
    for each in out:
        for decoded in decoder.decode(av.Packet(each.payload)):
            wave += struct.unpack(f"<{decoded.samples}f", bytes(decoded.planes[0])[: decoded.samples * 4])
    return out[0].dts, wave


def onset(out: list[EncodedFrame]) -> int:
    """Where the beep begins."""
    start, wave = samples(out)
    return start + next(index for index, value in enumerate(wave) if abs(value) > 0.15)


@pytest.mark.parametrize("layout", ["stereo", "mono"])
def test_beep_stays_where_it_was_to_a_tenth_of_a_millisecond(layout: str) -> None:
    out = converted(frames(packets(layout)))
    assert abs(onset(out) - (ZERO + BEEP)) <= 5
    assert {b.dts - a.dts for a, b in pairwise(out)} == {1_024}
    assert all(each.is_sync and not each.cts for each in out)


@pytest.mark.parametrize(("layout", "channels_count"), [("stereo", 2), ("mono", 1)])
def test_track_is_aac_with_as_many_channels_as_the_first_packet(layout: str, channels_count: int) -> None:
    first = OpusToAac(channel_bps=64_000).convert(frames(packets(layout))[:3])[0]
    assert isinstance(first, AudioTrack)
    assert (first.codec, first.codec_string) == (Codec.AAC, "mp4a.40.2")
    assert (first.sample_rate_hz, first.channel_count, first.samples_per_frame) == (48_000, channels_count, 1_024)


@pytest.mark.parametrize(("first", "then"), [("mono", "stereo"), ("stereo", "mono")])
def test_packets_of_another_number_of_channels_change_nothing(first: str, then: str) -> None:
    out = converted(frames(packets(first)[:20] + packets(then)[20:]))
    assert {b.dts - a.dts for a, b in pairwise(out)} == {1_024}
    assert abs(onset(out) - (ZERO + BEEP)) <= 5


@given(st.sets(st.integers(2, 140), max_size=60))
@settings(max_examples=15, deadline=None)
def test_lost_packets_never_move_what_follows(lost: set[int]) -> None:
    beeping = set(range(45, 65))
    kept = tuple(each for index, each in enumerate(packets()) if index not in lost - beeping)
    out = converted(frames(kept))
    assert {b.dts - a.dts for a, b in pairwise(out)} == {1_024}
    assert abs(onset(out) - (ZERO + BEEP)) <= 60


def test_pause_of_the_sender_is_filled_and_counted() -> None:
    converter = OpusToAac(channel_bps=64_000)
    kept = [each for index, each in enumerate(frames()) if not 20 <= index < 40]  # 400 ms: discontinuous transmission
    out = [each for each in converter.convert(kept) if isinstance(each, EncodedFrame)]
    assert {b.dts - a.dts for a, b in pairwise(out)} == {1_024}
    assert converter.counts["audio_concealed"] == 1


def test_hole_of_many_seconds_is_left_open() -> None:
    converter = OpusToAac(channel_bps=64_000)
    first, second = frames()[:50], frames()[50:]
    later = [each._replace(dts=each.dts + 10 * 48_000) for each in second]
    out = [each for each in converter.convert([*first, *later]) if isinstance(each, EncodedFrame)]
    steps = [b.dts - a.dts for a, b in pairwise(out) if b.dts - a.dts != 1_024]
    assert len(steps) == 1
    assert 9 * 48_000 < steps[0] < 10 * 48_000
    assert converter.counts["audio_begun_anew"] == 1


def test_sound_that_overlaps_is_left_out_and_a_clock_set_back_begins_anew() -> None:
    converter = OpusToAac(channel_bps=64_000)
    some = frames()[:50]
    converter.convert(some)
    assert converter.convert([some[-2]]) == []
    assert converter.counts["audio_overlap"] == 1
    back = [each._replace(dts=each.dts - 20 * 48_000) for each in some]
    out = [each for each in converter.convert(back) if isinstance(each, EncodedFrame)]
    assert out[-1].dts < some[0].dts
    assert converter.counts["audio_begun_anew"] == 1


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=20))
@settings(max_examples=40, deadline=None)
def test_bytes_that_are_no_opus_cost_nothing_but_themselves(junk: list[bytes]) -> None:
    converter = OpusToAac(channel_bps=64_000)
    track = opus_rtp.track()
    some = frames()
    out: list[Output] = []
    for index, payload in enumerate(junk):
        if opus.packet_samples(payload):
            out += converter.convert([EncodedFrame(track, ZERO + 960 * index - 24_000, 0, True, payload)])
    out += converter.convert(some[:50])
    times = [each.dts for each in out if isinstance(each, EncodedFrame)]
    assert {after - before for before, after in pairwise(times)} == {1_024}
    assert times[-1] > some[49].dts - 3 * 1_024


async def settled(line_is_done: asyncio.Event) -> None:
    async with asyncio.timeout(30):
        await line_is_done.wait()


async def test_threads_keep_the_order_of_every_stream() -> None:
    workshop = SoundWorkshop(settings=SoundSettings(queue_packets=1_000))
    expected = [each.dts for each in converted(frames())]
    got: list[list[Output]] = [[] for _ in range(6)]
    done = asyncio.Event()

    def arrive(index: int, outputs: list[Output]) -> None:
        got[index] += outputs
        if all(len(each) == len(expected) + 1 for each in got):
            done.set()

    lines = [workshop.open(lambda outputs, index=index: arrive(index, outputs)) for index in range(6)]  # type: ignore[misc]
    for count, frame in enumerate(frames()):
        for line in lines:
            line.push(frame)
        if count % 10 == 0:
            await asyncio.sleep(0)
    await settled(done)
    for each in got:
        assert isinstance(each[0], AudioTrack)
        assert [frame.dts for frame in each[1:] if isinstance(frame, EncodedFrame)] == expected
    workshop.close()


async def test_overload_drops_the_oldest_and_time_goes_on() -> None:
    workshop = SoundWorkshop(settings=SoundSettings(threads_count=1, queue_packets=20))
    block = threading.Event()
    workshop._threads.submit(block.wait, 10)
    got: list[Output] = []
    done = asyncio.Event()

    def arrive(outputs: list[Output]) -> None:
        got.extend(outputs)
        if isinstance(got[-1], EncodedFrame) and got[-1].dts > ZERO + 2 * 48_000:
            done.set()

    line = workshop.open(arrive)
    for frame in frames():
        line.push(frame)
    block.set()
    await settled(done)
    dropped = len(packets()) - 20
    assert line.counts()["audio_overload"] == dropped
    assert "audio_overload" not in line.counts()
    out = [each for each in got if isinstance(each, EncodedFrame)]
    assert {b.dts - a.dts for a, b in pairwise(out)} == {1_024}
    workshop.close()


async def test_nothing_is_delivered_after_close() -> None:
    workshop = SoundWorkshop()
    got: list[Output] = []
    line = workshop.open(got.extend)
    line.push(frames()[0])
    line.close()
    line.push(frames()[1])
    workshop.close()
    await asyncio.sleep(0.05)
    assert got == []
    line.close()
    workshop.close()


async def test_fault_of_ours_is_reported_by_the_loop_and_the_line_goes_on() -> None:
    workshop = SoundWorkshop()
    faults: list[object] = []
    first, told, last = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        faults.append(context["exception"])
        told.set()

    asyncio.get_running_loop().set_exception_handler(report)
    got: list[Output] = []

    def arrive(outputs: list[Output]) -> None:
        got.extend(outputs)
        (last if faults else first).set()

    line = workshop.open(arrive)
    for frame in frames()[:10]:
        line.push(frame)
    await settled(first)
    line.push(frames()[10]._replace(dts=None))  # type: ignore[arg-type]
    await settled(told)
    for frame in frames()[11:20]:
        line.push(frame)
    await settled(last)
    assert [type(fault) for fault in faults] == [TypeError]
    workshop.close()


async def test_line_of_a_closed_workshop_is_silent() -> None:
    workshop = SoundWorkshop()
    line = workshop.open(lambda _outputs: None)
    workshop.close()
    line.push(frames()[0])
    assert line.counts() == {}


async def test_threads_are_few_and_end_with_the_workshop() -> None:
    workshop = SoundWorkshop()
    lines = [workshop.open(lambda _outputs: None) for _ in range(20)]
    for line in lines:
        line.push(frames()[0])
    async with asyncio.timeout(30):
        while not threads():  # noqa: ASYNC110  # they tell nobody
            await asyncio.sleep(0.005)
    assert len(threads()) <= SETTINGS.threads_count
    workshop.close()
    assert not threads()


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("opus-to-aac")]
