from __future__ import annotations

import pytest

from hls_packager.silence import STAND_IN, silent_payload
from hls_packager.soundtrack import Soundtrack
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack
from tests.hls_packager.stage import is_contiguous
from tests.support.hls_media import AUDIO

STEP, HZ = 1_024, 48_000
SILENCE = silent_payload(AUDIO)


def heard(first: int, count: int, track: AudioTrack = AUDIO) -> list[EncodedFrame]:
    return [EncodedFrame(track, first + index * STEP, 0, True, b"sound") for index in range(count)]


def kinds(frames: list[EncodedFrame]) -> str:
    return "".join("." if frame.payload == SILENCE else "#" for frame in frames)


@pytest.fixture
def track() -> Soundtrack:
    return Soundtrack(AUDIO, start=0, with_pictures=True)


def test_sound_is_handed_out_up_to_the_end_of_the_part(track: Soundtrack) -> None:
    track.frames.extend(heard(0, 10))
    assert track.take(4 * STEP, needed=False) == heard(0, 4)
    assert track.take(4 * STEP + 1, needed=False) == heard(4 * STEP, 1)
    assert track.end == 10 * STEP


def test_sound_that_is_late_is_waited_for(track: Soundtrack) -> None:
    assert track.take(HZ // 2, needed=False) == []
    track.frames.extend(heard(0, 40))
    assert track.take(HZ, needed=False) == heard(0, 40)


def test_after_a_second_silence_takes_its_place(track: Soundtrack) -> None:
    assert track.take(HZ // 2, needed=False) == []
    silence = track.take(HZ, needed=False)
    assert kinds(silence) == "." * (HZ // STEP)
    assert is_contiguous(silence)


def test_a_part_of_nothing_but_sound_gets_silence_at_once(track: Soundtrack) -> None:
    assert kinds(track.take(5 * STEP, needed=True)) == "....."


def test_the_stand_in_is_silent_at_once_until_sound_comes() -> None:
    track = Soundtrack(STAND_IN, start=0, with_pictures=True)
    assert kinds(track.take(3 * STEP, needed=False)) == "..."
    track.frames.extend(heard(3 * STEP + 300, 5))
    assert kinds(track.take(20 * STEP, needed=False)) == "#####"
    assert track.take(25 * STEP, needed=False) == []


def test_sound_for_a_time_that_is_silent_is_left_out_and_given_more_time_from_then_on(track: Soundtrack) -> None:
    silence = track.take(HZ, needed=False)
    track.frames.extend(heard(0, 10))
    assert track.take(HZ + HZ // 2, needed=False) == []
    track.frames.extend(heard(10 * STEP, 60))
    caught_up = track.take(2 * HZ + HZ // 2, needed=False)
    assert kinds(caught_up) == "#" * len(caught_up)
    assert is_contiguous(silence + caught_up)
    assert track.take(3 * HZ, needed=False) == []


def test_a_hole_in_the_sound_is_bridged(track: Soundtrack) -> None:
    track.frames.extend([*heard(0, 3), *heard(8 * STEP, 3)])
    frames = track.take(20 * STEP, needed=False)
    assert kinds(frames) == "###.....###"
    assert is_contiguous(frames)


def test_sound_that_begins_after_the_pictures_is_preceded_by_silence(track: Soundtrack) -> None:
    track.frames.extend(heard(5 * STEP + 10, 3))
    assert kinds(track.take(20 * STEP, needed=False)) == ".....###"


def test_sound_stretched_by_a_sample_a_frame_is_no_hole(track: Soundtrack) -> None:
    slewed = [frame._replace(dts=frame.dts + index) for index, frame in enumerate(heard(0, 90))]
    track.frames.extend(slewed)
    assert track.take(200 * STEP, needed=False) == slewed


def test_without_pictures_nothing_is_made_up() -> None:
    track = Soundtrack(AUDIO, start=0, with_pictures=False)
    assert track.take(10 * HZ, needed=True) == []
    assert not track.fills
