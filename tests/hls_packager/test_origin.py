from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from hls_packager.model import Cadence, HlsSettings
from hls_packager.origin import Origin
from tests.hls_packager.test_store import EPOCH, TRACKS
from tests.support.clock import FakeClock
from tests.support.hls_media import START_MS


def made(clock: FakeClock) -> Origin:
    return Origin(clock=clock, settings=HlsSettings())


def programme(origin: Origin, *, segments: int = 3, discontinuities: int = 0) -> tuple[int, int]:
    """A programme of some segments, ended; its first and last number."""
    store = origin.open("room")
    store.begin(EPOCH)
    for index in range(segments):
        breaks = 0 < index <= discontinuities
        store.open_segment(tracks=TRACKS, utc_ms=START_MS, independent=True, discontinuity=breaks)
        store.add_part(b"x" * 100, duration_us=500_000, independent=True)
        store.close_segment()
    store.publish()
    assert store.playlist is not None
    store.finish()
    return store.playlist.segments[0].msn, store.playlist.last_msn


def test_numbers_follow_the_clock_so_that_a_restart_goes_on_above_them() -> None:
    clock = FakeClock(utc_ms=START_MS)
    _, last = programme(made(clock))
    clock.advance(10_000)
    first, _ = programme(made(clock))
    assert first > last


def test_a_following_programme_goes_on_above_even_if_the_clock_does_not() -> None:
    clock = FakeClock(utc_ms=START_MS)
    origin = made(clock)
    _, last = programme(origin, segments=500)
    first, _ = programme(origin)
    assert first > last


def test_discontinuity_numbers_are_small_and_do_not_go_back_within_a_process() -> None:
    """hls.js walks an array of their size at every reload."""
    origin = made(FakeClock(utc_ms=START_MS))
    programme(origin, segments=40, discontinuities=5)
    store = origin.find("room", "source")
    assert store is not None
    assert store.playlist is not None
    listed = sum(segment.discontinuity for segment in store.playlist.segments)
    last = store.playlist.discontinuity_sequence + listed
    assert 0 <= last < 21_000
    again = origin.open("room")
    again.begin(EPOCH)
    assert again.playlist is not None
    assert again.playlist.discontinuity_sequence == last + 1


def test_a_restarted_process_begins_with_another_discontinuity_number() -> None:
    """hls.js 1.7.4 waits in vain for media that jumps ahead under a number it knows."""
    clock = FakeClock(utc_ms=START_MS)
    numbers = set()
    for _ in range(50):
        store = made(clock).open("room")
        store.begin(EPOCH)
        assert store.playlist is not None
        numbers.add(store.playlist.discontinuity_sequence)
        clock.advance(10_000)
    assert len(numbers) == 50


def test_the_cadence_of_a_room_is_remembered_for_its_next_programme() -> None:
    origin = made(FakeClock(utc_ms=START_MS))
    cadence = Cadence(frame=Fraction(1, 30), constant=True, gop_ms=8_333, has_video=True, has_audio=True)
    origin.open("room").cadence = cadence
    assert origin.open("room").cadence == cadence
    assert origin.open("another").cadence is None


def test_an_ended_programme_is_withdrawn_when_nobody_can_want_it_any_more() -> None:
    clock = FakeClock(utc_ms=START_MS)
    origin = made(clock)
    programme(origin, segments=8)
    clock.advance(5_000)
    origin.sweep()
    assert origin.find("room", "source") is not None
    clock.advance(5_000)
    origin.sweep()
    assert origin.find("room", "source") is None
    assert origin.renditions("room") == ()
    assert origin.resident_bytes == 0


def test_a_programme_on_air_is_never_withdrawn() -> None:
    clock = FakeClock(utc_ms=START_MS)
    origin = made(clock)
    store = origin.open("room")
    clock.advance(10_000_000)
    origin.sweep()
    assert origin.find("room", "source") is store


def test_ten_thousand_rooms_leave_a_bounded_memory() -> None:
    origin = made(FakeClock(utc_ms=START_MS))
    for index in range(10_000):
        origin.open(f"room-{index}")
        origin.close(f"room-{index}", "source")
    assert len(origin._remembered) <= 4_096
    assert origin._rooms == {}


def test_the_multivariant_playlist_waits_for_something_playable() -> None:
    origin = made(FakeClock(utc_ms=START_MS))
    assert origin.multivariant("room") is None
    origin.open("room")
    assert origin.multivariant("room") is None
    programme(origin)
    text = origin.multivariant("room")
    assert text is not None
    assert "source/media.m3u8" in text


def test_what_another_worker_learned_of_a_room_is_known_at_once() -> None:
    learned = Cadence(frame=Fraction(1_001, 30_000), constant=True, gop_ms=2_002, has_video=True, has_audio=True)
    there, here = made(FakeClock(utc_ms=START_MS)), made(FakeClock(utc_ms=START_MS))
    there.open("room").cadence = learned
    told = there.cadence("room")
    assert told == learned
    assert here.cadence("room") is None
    assert here.open("room", cadence=Cadence.from_text(told.text())).cadence == learned
    here.close("room", "source")
    newer = replace(learned, gop_ms=4_004)
    assert here.open("room", cadence=newer).cadence == newer
    assert here.cadence("room") == newer


@pytest.mark.parametrize(
    "cadence",
    [
        Cadence(frame=Fraction(1, 30), constant=True, gop_ms=2_000, has_video=True, has_audio=True),
        Cadence(frame=Fraction(1_001, 60_000), constant=False, gop_ms=None, has_video=True, has_audio=False),
        Cadence(frame=Fraction(1_024, 48_000), constant=True, gop_ms=None, has_video=False, has_audio=True),
        Cadence(frame=Fraction(1), constant=False, gop_ms=1, has_video=True, has_audio=False),
    ],
)
def test_cadence_survives_being_put_into_words(cadence: Cadence) -> None:
    assert " " not in cadence.text()
    assert Cadence.from_text(cadence.text()) == cadence


@pytest.mark.parametrize(
    "text",
    [
        *("", "1/30", "0/30,constant,0,v", "1/0,constant,0,v", "1/30,constant,0,", "-1/30,constant,0,v"),
        *("1/30,often,0,v", "1/30,constant,0,va,new", f"{10**9}/1,constant,0,v", "1/30,constant,x,v"),
        "1/30,constant,0,av",
    ],
)
def test_words_of_another_version_teach_nothing(text: str) -> None:
    assert Cadence.from_text(text) is None
