"""The cache that a newcomer starts from."""

from __future__ import annotations

from streamd.live.gop import GopCache
from streamd.media.frames import EncodedFrame
from tests.live.stage import AUDIO, VIDEO


def picture(dts: int, *, key: bool = False, size: int = 10) -> EncodedFrame:
    return EncodedFrame(VIDEO, dts, 0, key, b"p" * size)


def sound(dts: int) -> EncodedFrame:
    return EncodedFrame(AUDIO, dts, 0, True, b"s")


def small_cache() -> GopCache:
    return GopCache(limit_bytes=100, limit_frames=6, audio_frames=3)


def test_cache_begins_at_the_newest_key_frame() -> None:
    cache = small_cache()
    for dts, key in ((0, True), (1, False), (2, True), (3, False)):
        cache.add_video(picture(dts, key=key), 10)
    assert [frame.dts for frame in cache.frames] == [2, 3]


def test_pictures_without_a_key_frame_are_not_kept() -> None:
    cache = small_cache()
    cache.add_video(picture(0), 10)
    cache.add_audio(sound(0), 1)
    assert cache.frames == []


def test_sound_is_kept_in_its_place_between_pictures() -> None:
    cache = small_cache()
    cache.add_video(picture(0, key=True), 10)
    cache.add_audio(sound(1), 1)
    cache.add_video(picture(2), 10)
    assert [frame.dts for frame in cache.frames] == [0, 1, 2]


def test_too_many_bytes_empty_the_cache_until_the_next_key_frame() -> None:
    cache = small_cache()
    cache.add_video(picture(0, key=True), 60)
    cache.add_video(picture(1), 60)
    assert cache.frames == []
    cache.add_video(picture(2), 10)
    cache.add_audio(sound(2), 1)
    assert cache.frames == []
    cache.add_video(picture(3, key=True), 10)
    assert [frame.dts for frame in cache.frames] == [3]
    assert cache.overflows == 1


def test_too_many_frames_empty_the_cache_too() -> None:
    cache = small_cache()
    cache.add_video(picture(0, key=True), 1)
    for dts in range(1, 7):
        cache.add_audio(sound(dts), 1)
    assert cache.frames == []
    assert cache.overflows == 1


def test_sound_alone_slides() -> None:
    cache = small_cache()
    for dts in range(50):
        cache.add_sound_alone(sound(dts))
        assert 1 <= len(cache.frames) <= 6
    assert cache.frames[-1].dts == 49
    assert len(cache.frames) >= 3


def test_sound_alone_does_not_follow_pictures_of_before() -> None:
    cache = small_cache()
    cache.add_video(picture(0, key=True), 10)
    cache.add_sound_alone(sound(1))
    assert [frame.dts for frame in cache.frames] == [1]


def test_frames_handed_out_stay_whole_when_the_next_key_frame_comes() -> None:
    cache = small_cache()
    cache.add_video(picture(0, key=True), 10)
    cache.add_video(picture(1), 10)
    handed_out = cache.frames
    cache.add_video(picture(2, key=True), 10)
    assert [frame.dts for frame in handed_out] == [0, 1]
