"""Sound that comes a little after the pictures of its time: key frames wait for it, and for nothing longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media.frames import EncodedFrame
from tests.hls_packager.stage import Stage, is_contiguous, short_parts
from tests.support.hls_media import VIDEO, pictures, seconds_of, sounds

STEP_S = 1_024 / 48_000


def arriving(
    video: Sequence[EncodedFrame], audio: Sequence[EncodedFrame], lags_ms: Sequence[int]
) -> list[EncodedFrame]:
    """In order of arrival: pictures at their time, each sound so much later than its own and never before the last."""
    keyed = [(float(seconds_of(frame)), 0, frame) for frame in video]
    latest = 0.0
    for index, frame in enumerate(audio):
        latest = max(latest, float(seconds_of(frame)) + lags_ms[index % len(lags_ms)] / 1_000)
        keyed.append((latest, 1, frame))
    return [frame for _, _, frame in sorted(keyed, key=lambda each: each[:2])]


def programme(lag_ms: int, *, seconds: float = 12) -> list[EncodedFrame]:
    return arriving(pictures(30, seconds=seconds, gop=60), sounds(seconds=seconds), [lag_ms])


@pytest.mark.parametrize("lag_ms", [25, 60, 90, 150, 199])
def test_segment_begins_with_the_sound_of_its_own_time(lag_ms: int) -> None:
    stage = Stage().push(programme(lag_ms)).pause()
    assert len(stage.made) == 6
    for segment in stage.made[1:]:
        first = segment.parts[0]
        assert -1.01 * STEP_S <= float(seconds_of(first.audio[0]) - seconds_of(first.video[0])) <= STEP_S
    assert stage.pictures() == pictures(30, seconds=12, gop=60)
    assert is_contiguous(stage.sounds())
    assert short_parts(stage) == []
    assert stage.discontinuities == 0


@pytest.mark.parametrize("lag_ms", [0, 10, 20, 300, 700])
def test_sound_that_is_there_and_sound_that_is_far_away_are_not_waited_for(lag_ms: int) -> None:
    stage = Stage()
    for frame in programme(lag_ms):
        before = len(stage.segments)
        stage.push([frame])
        if frame.is_sync and frame.track.is_video and stage.epoch is not None and before:
            assert len(stage.segments) == before + 1, "opened by the key frame itself"


def test_key_frame_waits_no_longer_than_its_sound() -> None:
    stage = Stage()
    waited: list[float] = []
    key_s = 0.0
    for frame in programme(90):
        before = len(stage.segments)
        stage.push([frame])
        if frame.track.is_video and frame.is_sync:
            key_s = float(seconds_of(frame))
        if before and len(stage.segments) > before:
            assert not frame.track.is_video, "it is the sound that lets it go"
            waited.append(float(seconds_of(frame)) + 0.090 - key_s)
    assert len(waited) == 5
    assert all(0 < each <= 0.090 for each in waited)


def test_sound_that_ceases_holds_pictures_back_for_a_fifth_of_a_second_once() -> None:
    video, audio = pictures(30, seconds=20, gop=60), sounds(seconds=6.9)
    stage = Stage()
    behind = []
    for frame in arriving(video, audio, [90]):
        stage.push([frame])
        if stage.parts:
            last = stage.parts[-1]
            behind.append(float(seconds_of(frame)) - (last.start_us + last.duration_us) / 1_000_000)
    assert max(behind[200:]) < 0.501 + 0.210
    assert stage.pause().pictures() == video


def test_encoder_that_leaves_while_a_key_frame_waits_loses_nothing() -> None:
    frames = programme(150, seconds=4.05)
    keys = [index for index, frame in enumerate(frames) if frame.track.is_video and frame.is_sync]
    stage = Stage().push(frames[: keys[-1] + 3])
    assert len(stage.made) == 2, "the third key frame waits"
    stage.pause()
    assert len(stage.made) == 3
    assert stage.pictures() == [frame for frame in frames[: keys[-1] + 3] if frame.track.is_video]


def test_headers_repeated_while_a_key_frame_waits_change_nothing() -> None:
    frames = programme(150)
    again = replace(VIDEO)
    keys = [index for index, frame in enumerate(frames) if frame.track.is_video and frame.is_sync]
    after = [frame._replace(track=again) if frame.track.is_video else frame for frame in frames[keys[3] + 2 :]]
    stage = Stage().push([*frames[: keys[3] + 2], *after]).pause()
    assert stage.discontinuities == 0
    assert [frame.dts for frame in stage.pictures()] == [frame.dts for frame in frames if frame.track.is_video]


@settings(max_examples=40)
@given(lags_ms=st.lists(st.integers(0, 400), min_size=1, max_size=60), gop=st.sampled_from([1, 7, 30, 60, 250]))
def test_whatever_comes_late_nothing_is_lost_or_reordered(lags_ms: list[int], gop: int) -> None:
    video, audio = pictures(30, seconds=9, gop=gop), sounds(seconds=9)
    stage = Stage().push(arriving(video, audio, lags_ms)).pause()
    assert stage.pictures() == video
    told = stage.sounds()
    assert all(a.dts < b.dts for a, b in pairwise(told))
    assert stage.discontinuities == 0
