from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from hls_packager.fragment import fragment
from hls_packager.model import PartClosed
from streamd.media.frames import EncodedFrame
from tests.support import mp4_boxes
from tests.support.hls_media import AUDIO, START_MS, VIDEO, pictures, sounds

FIRST = START_MS * 90


def part_of(video: Sequence[EncodedFrame], audio: Sequence[EncodedFrame], *, video_end: int = 0) -> PartClosed:
    return PartClosed(
        video=video,
        audio=audio,
        video_end=video_end or (video[-1].dts + 3_000 if video else 0),
        start_us=0,
        duration_us=500_000,
        independent=bool(video) and video[0].is_sync,
        inner_keys=any(frame.is_sync for frame in video[1:]),
    )


def samples(data: bytes) -> dict[int, list[mp4_boxes.Sample]]:
    (read,) = mp4_boxes.fragments(data)
    return read.samples


def test_a_muxed_part_reads_back_as_it_was_given() -> None:
    video, audio = pictures(30, seconds=0.5), sounds(seconds=0.5)
    data = fragment(7, part_of(video, audio))
    (read,) = mp4_boxes.fragments(data)
    assert read.sequence == 7
    assert [s.payload for s in read.samples[1]] == [f.payload for f in video]
    assert [s.dts for s in read.samples[1]] == [f.dts for f in video]
    assert [s.is_sync for s in read.samples[1]] == [True] + [False] * 14
    assert {s.duration for s in read.samples[1]} == {3_000}
    assert [s.payload for s in read.samples[2]] == [f.payload for f in audio]
    assert [s.dts for s in read.samples[2]] == [f.dts for f in audio]
    assert all(s.is_sync and s.duration == 1_024 for s in read.samples[2])


def test_decode_times_are_64_bits_of_the_streams_timeline() -> None:
    read = samples(fragment(1, part_of(pictures(30, seconds=0.1), sounds(seconds=0.1))))
    assert read[1][0].dts == START_MS * 90 > 1 << 32
    assert read[2][0].dts == START_MS * 48


def test_the_last_picture_lasts_until_the_next_part() -> None:
    read = samples(fragment(1, part_of(pictures(30, seconds=0.1), [], video_end=FIRST + 100_000)))
    assert read[1][-1].duration == 100_000 - 6_000


def test_composition_offsets_may_be_negative() -> None:
    video = pictures(30, seconds=0.2, cts=lambda index: (0, 6_000, -3_000)[index % 3])
    assert [s.cts for s in samples(fragment(1, part_of(video, [])))[1]] == [f.cts for f in video]


def test_key_frames_inside_a_part_are_flagged() -> None:
    video = pictures(30, seconds=0.5, gop=4)
    assert [s.is_sync for s in samples(fragment(1, part_of(video, sounds(seconds=0.5))))[1]] == [
        f.is_sync for f in video
    ]


def test_a_part_without_a_key_frame_has_no_sync_sample() -> None:
    video = [frame._replace(is_sync=False) for frame in pictures(30, seconds=0.5)]
    assert not any(s.is_sync for s in samples(fragment(1, part_of(video, [])))[1])


def test_sound_with_holes_keeps_its_times() -> None:
    audio = [frame for index, frame in enumerate(sounds(seconds=0.5)) if index not in (5, 6, 11)]
    read = samples(fragment(1, part_of([], audio)))
    assert [s.dts for s in read[2]] == [f.dts for f in audio]
    assert read[2][-1].duration == 1_024


def test_sequence_numbers_wrap_at_32_bits() -> None:
    (read,) = mp4_boxes.fragments(fragment((1 << 32) + 5, part_of([], sounds(seconds=0.1))))
    assert read.sequence == 5


@settings(max_examples=80, deadline=None)
@given(
    steps=st.lists(st.integers(1, 200_000), max_size=40),
    cts=st.lists(st.integers(-(1 << 20), 1 << 20), min_size=40, max_size=40),
    sizes=st.lists(st.integers(0, 300), min_size=80, max_size=80),
    keys=st.sets(st.integers(0, 39)),
    sound_steps=st.lists(st.sampled_from([1_024, 1_024, 1_024, 1_025, 480, 5_000]), max_size=40),
)
def test_any_part_reads_back_as_it_was_given(
    steps: list[int], cts: list[int], sizes: list[int], keys: set[int], sound_steps: list[int]
) -> None:
    if not steps and not sound_steps:
        return
    video = [
        EncodedFrame(VIDEO, FIRST + sum(steps[:i]), cts[i], i in keys, bytes([i]) * sizes[i]) for i in range(len(steps))
    ]
    audio = [
        EncodedFrame(AUDIO, 48 * START_MS + sum(sound_steps[:i]), 0, True, bytes([200 + i % 50]) * sizes[40 + i])
        for i in range(len(sound_steps))
    ]
    read = samples(fragment(1, part_of(video, audio, video_end=FIRST + sum(steps) if steps else 0)))
    assert [(s.dts, s.cts, s.is_sync, s.payload) for s in read.get(1, [])] == [
        (f.dts, f.cts, f.is_sync, f.payload) for f in video
    ]
    assert sum(s.duration for s in read.get(1, [])) == sum(steps)
    assert [(s.dts, s.payload) for s in read.get(2, [])] == [(f.dts, f.payload) for f in audio]
