"""Sound and picture on one clock: two simulated RTP clocks, a network, sender reports that tell the truth or do not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media.ticks import Unwrapper
from streamd.whip.timeline import Timeline, TrackClock

US = 1_000_000
NTP_ZERO_S = 3_900_000_000
START_US = 5_000_000


@dataclass
class Peer:
    """A track of the sender. `fast_ppm`: how much its RTP clock runs away from the true time."""

    clock: TrackClock
    hz: int
    every_us: int
    rtp_zero: int
    fast_ppm: int = 0
    unwrap: Callable[[int], int] = field(default_factory=lambda: Unwrapper(32).unwrap)
    placed: list[tuple[int, float]] = field(default_factory=list)  # capture time, place on the session's line, both µs
    held: list[tuple[int, int]] = field(default_factory=list)

    def rtp(self, true_us: int) -> int:
        return self.rtp_zero + true_us * self.hz * (US + self.fast_ppm) // US**2

    def send(self, true_us: int, now_us: int) -> None:
        rtp = self.unwrap(self.rtp(true_us) & 0xFFFFFFFF)
        self.clock.observe(rtp, now_us=now_us)
        self.held.append((true_us, rtp))
        if self.clock.ready(now_us=now_us):
            for captured_us, each in self.held:
                self.placed.append((captured_us, self.clock.place(each, now_us=now_us) * US / self.hz))
            self.held = []

    def report(self, true_us: int, *, ntp_error_us: int = 0) -> None:
        ntp = ((NTP_ZERO_S * US + true_us + ntp_error_us) << 32) // US
        self.clock.report(ntp_time=ntp, rtp_time=self.rtp(true_us) & 0xFFFFFFFF)


def pair(
    *, sound_zero: int = 0xFFFF_0000, picture_zero: int = 0x7777_0000, sound_ppm: int = 0, fps: int = 30
) -> tuple[Peer, Peer]:
    timeline = Timeline()
    return (
        Peer(timeline.join(clock_hz=48_000, is_video=False), 48_000, 20_000, sound_zero, sound_ppm),
        Peer(timeline.join(clock_hz=90_000, is_video=True), 90_000, US // fps, picture_zero),
    )


def play(
    peers: tuple[Peer, ...],
    *,
    seconds: float,
    from_s: float = 0,
    delay_us: Callable[[Peer, int], int] = lambda _peer, _at: 0,
    report: Callable[[Peer, int], None] = lambda _peer, _at: None,
    report_every_s: int = 1,
) -> None:
    """Capture, send and report, in the order of arrival."""
    events: list[tuple[int, int, Callable[[], None]]] = []
    for peer in peers:
        arrived = 0
        for at in range(round(from_s * US), round((from_s + seconds) * US), peer.every_us):
            arrived = max(arrived, START_US + at + delay_us(peer, at))  # the network keeps the order
            events.append((arrived, len(events), lambda peer=peer, at=at, now=arrived: peer.send(at, now)))
        for second in range(int(from_s) + 1, int(from_s + seconds) + 1, report_every_s):
            events.append((START_US + second * US, len(events), lambda peer=peer, at=second * US: report(peer, at)))
    for _, _, act in sorted(events, key=lambda event: event[:2]):
        act()


def apart_us(sound: Peer, picture: Peer, *, from_s: float = 0) -> float:
    """The greatest distance between what was captured together, from a time on."""
    sounds = [(captured, place) for captured, place in sound.placed if captured >= from_s * US]
    worst, index = 0.0, 0
    for captured, place in picture.placed:
        if captured < sounds[0][0]:
            continue
        while index + 1 < len(sounds) and sounds[index + 1][0] <= captured:
            index += 1
        near, at = sounds[index]
        if captured - near > 40_000:
            continue
        worst = max(worst, abs((place - captured) - (at - near)))
    return worst


def never_goes_back(peer: Peer) -> bool:
    return all(before < after for (_, before), (_, after) in pairwise(peer.placed))


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 40), st.integers(0, 1 << 30))
@settings(max_examples=25, deadline=None)
def test_tracks_are_within_20_ms_before_any_report(
    sound_zero: int, picture_zero: int, jitter_ms: int, seed: int
) -> None:
    chance = random.Random(seed)
    sound, picture = pair(sound_zero=sound_zero, picture_zero=picture_zero)
    play((sound, picture), seconds=4, delay_us=lambda _peer, _at: 30_000 + chance.randint(0, jitter_ms) * 1_000)
    assert apart_us(sound, picture) <= 20_000
    assert never_goes_back(sound)
    assert never_goes_back(picture)


def test_report_draws_the_picture_to_the_sound_by_little_steps() -> None:
    sound, picture = pair()
    # The encoder takes 120 ms for a picture: arrival alone puts it too late by that.
    play(
        (sound, picture),
        seconds=12,
        delay_us=lambda peer, _at: 20_000 if peer is sound else 140_000,
        report=lambda peer, at: peer.report(at),
    )
    assert apart_us(sound, picture, from_s=8) <= 6_000
    assert never_goes_back(picture)
    steps = [(b[1] - a[1]) - (b[0] - a[0]) for a, b in pairwise(picture.placed)]
    assert max(abs(step) for step in steps) <= 700  # a fiftieth of a frame, and a tick of rounding


def test_sound_never_moves_against_its_own_samples() -> None:
    sound, picture = pair()
    chance = random.Random(3)
    play(
        (sound, picture),
        seconds=6,
        delay_us=lambda _peer, _at: chance.randint(0, 80_000),
        report=lambda peer, at: peer.report(at, ntp_error_us=chance.randint(-30_000, 30_000)),
    )
    steps = {b[1] - a[1] for a, b in pairwise(sound.placed)}
    assert max(steps) - min(steps) < 1  # µs: rounding of the float alone


def test_once_aligned_the_picture_keeps_its_exact_rhythm() -> None:
    sound, picture = pair(fps=25)
    play((sound, picture), seconds=10, delay_us=lambda _peer, _at: 20_000, report=lambda peer, at: peer.report(at))
    late = [place for captured, place in picture.placed if captured > 3 * US]
    assert {round(b - a) for a, b in pairwise(late)} == {40_000}


def test_sender_whose_sound_card_runs_away_stays_in_step_for_half_an_hour() -> None:
    sound, picture = pair(sound_ppm=150)
    play(
        (sound, picture),
        seconds=1_800,
        delay_us=lambda _peer, _at: 20_000,
        report=lambda peer, at: peer.report(at),
        report_every_s=5,
    )
    # 150 ppm are 270 ms by then. Places are compared where they are used: at the same moment of capture.
    assert apart_us(sound, picture, from_s=5) <= 20_000
    assert never_goes_back(picture)


def test_drift_is_followed_without_any_report() -> None:
    sound, picture = pair(sound_ppm=-150)
    play((sound, picture), seconds=600, delay_us=lambda _peer, _at: 20_000)
    assert apart_us(sound, picture) <= 20_000


def test_timestamps_wrap_in_mid_programme() -> None:
    sound, picture = pair(sound_zero=(1 << 32) - 48_000, picture_zero=(1 << 32) - 2 * 90_000)
    play((sound, picture), seconds=5, delay_us=lambda _peer, _at: 10_000, report=lambda peer, at: peer.report(at))
    assert apart_us(sound, picture) <= 20_000
    assert never_goes_back(sound)
    assert never_goes_back(picture)


@pytest.mark.parametrize(
    "lie",
    [
        lambda peer, at: peer.clock.report(ntp_time=0, rtp_time=peer.rtp(at) & 0xFFFFFFFF),
        lambda peer, at: peer.clock.report(ntp_time=1, rtp_time=0),
        lambda peer, at: peer.report(at, ntp_error_us=3_600 * US if peer.hz == 48_000 else 0),
        lambda peer, at: peer.report(at, ntp_error_us=at * 50 if peer.hz == 90_000 else 0),
        lambda peer, at: peer.report(at, ntp_error_us=700_000 if at // US % 3 == 1 and peer.hz == 48_000 else 0),
    ],
    ids=["zero", "nonsense", "an hour off", "running away", "jumping to and fro"],
)
def test_reports_that_lie_do_not_part_the_tracks(lie: Callable[[Peer, int], None]) -> None:
    sound, picture = pair()
    play((sound, picture), seconds=20, delay_us=lambda _peer, _at: 20_000, report=lie)
    assert apart_us(sound, picture) <= 20_000
    assert never_goes_back(picture)


def test_report_that_is_wrong_now_and_then_moves_nothing() -> None:
    sound, picture = pair()
    play(
        (sound, picture),
        seconds=20,
        delay_us=lambda _peer, _at: 20_000,
        report=lambda peer, at: peer.report(at, ntp_error_us=300_000 if at // US % 4 == 3 and peer is sound else 0),
    )
    assert apart_us(sound, picture) <= 1_000


def test_sound_that_comes_late_is_put_beside_the_picture() -> None:
    sound, picture = pair()
    play((picture,), seconds=3, delay_us=lambda _peer, _at: 20_000)
    play((sound, picture), seconds=3, from_s=3, delay_us=lambda _peer, _at: 20_000)
    assert sound.placed
    assert apart_us(sound, picture) <= 20_000
    assert never_goes_back(picture)


def test_picture_whose_clock_leaps_comes_back_to_the_sound() -> None:
    sound, picture = pair()
    play((sound, picture), seconds=3, delay_us=lambda _peer, _at: 20_000)
    picture.rtp_zero += 10 * 90_000
    play((sound, picture), seconds=4, from_s=3, delay_us=lambda _peer, _at: 20_000)
    assert apart_us(sound, picture, from_s=5) <= 20_000


def test_track_that_is_alone_is_not_held() -> None:
    alone = Timeline(tracks_count=1).join(clock_hz=90_000, is_video=True)
    alone.observe(0, now_us=START_US)
    assert alone.ready(now_us=START_US)
    assert alone.place(0, now_us=START_US) == START_US * 90_000 // US


def test_source_that_replaces_another_goes_on_beside_the_other_track() -> None:
    timeline = Timeline()
    sound = Peer(timeline.join(clock_hz=48_000, is_video=False), 48_000, 20_000, 5)
    picture = Peer(timeline.join(clock_hz=90_000, is_video=True), 90_000, 33_333, 7)
    play((sound, picture), seconds=2)
    again = Peer(timeline.join(clock_hz=90_000, is_video=True), 90_000, 33_333, 0xDEADBEEF)
    play((sound, again), seconds=2, from_s=2)
    assert apart_us(sound, again, from_s=2) <= 20_000
