from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls_packager.model import Cadence, HlsSettings
from hls_packager.planner import frame_duration, plan
from tests.support import hls_media as media

RATES = {
    "23.976": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": Fraction(60000, 1001),
    "60": Fraction(60),
}
PART_TARGETS_MS = {
    "23.976": 502,
    "24": 501,
    "25": 521,
    "29.97": 502,
    "30": 501,
    "50": 501,
    "59.94": 502,
    "60": 501,
}


def cadence(frame: Fraction, *, gop_ms: int | None = 2_000, constant: bool = True, video: bool = True) -> Cadence:
    return Cadence(frame=frame, constant=constant, gop_ms=gop_ms, has_video=video, has_audio=True)


def dts_of(frames: list[media.EncodedFrame]) -> list[int]:
    return [frame.dts for frame in frames]


@pytest.mark.parametrize("milliseconds", [False, True], ids=["exact", "rounded to milliseconds"])
@pytest.mark.parametrize("name", RATES)
def test_two_seconds_tell_the_standard_rates_apart(name: str, milliseconds: bool) -> None:
    fps = RATES[name]
    dts = dts_of(media.pictures(fps, seconds=2.05, milliseconds=milliseconds))
    assert frame_duration(dts, 90_000) == (1 / fps, True)


@pytest.mark.parametrize("name", RATES)
def test_part_target_is_whole_frames_rounded_up_and_a_millisecond(name: str) -> None:
    frame = 1 / RATES[name]
    epoch = plan(cadence(frame), HlsSettings())
    assert epoch.part_target_ms == PART_TARGETS_MS[name]
    assert Fraction(epoch.part_us, 1_000_000) / frame == pytest.approx(round(epoch.part_us / 1_000_000 / frame), 1e-4)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "part_target_ms"), [(1_024, 48_000, 513), (1_024, 44_100, 512), (960, 48_000, 501)]
)
def test_sound_alone_is_planned_by_its_own_frames(samples: int, rate_hz: int, part_target_ms: int) -> None:
    epoch = plan(cadence(Fraction(samples, rate_hz), gop_ms=None, video=False), HlsSettings())
    assert epoch.part_target_ms == part_target_ms
    assert epoch.target_duration_s == 2


def test_jitter_of_a_hardware_encoder_does_not_hide_its_rate() -> None:
    jitter = [0, 130, -90, 60, -150, 20, 110, -40]
    frames = media.pictures(60, seconds=2, jitter=lambda index: jitter[index % 8])
    duration, constant = frame_duration(dts_of(frames), 90_000)
    assert constant
    assert float(1 / duration) == pytest.approx(60, rel=0.002)


def test_lost_frames_do_not_disturb_the_rate() -> None:
    dts = [each for index, each in enumerate(dts_of(media.pictures(30, seconds=2))) if index not in (7, 8, 31)]
    assert frame_duration(dts, 90_000) == (Fraction(1, 30), True)


def test_variable_rate_is_told_and_parts_are_cut_by_time() -> None:
    at, dts = 0, []
    for index in range(60):
        dts.append(at)
        at += 90 * (12 + index * 37 % 50)
    duration, constant = frame_duration(dts, 90_000)
    assert not constant
    assert plan(cadence(duration, constant=False), HlsSettings()).part_target_ms == 501


@pytest.mark.parametrize(("claim", "expected"), [(29.97, Fraction(1001, 30000)), (30.0, Fraction(1, 30))])
def test_the_bitstreams_claim_decides_what_timestamps_cannot(claim: float, expected: Fraction) -> None:
    dts = dts_of(media.pictures(30, seconds=0.5, milliseconds=True))  # 467 ms after 14 frames: 30 or 29.97
    assert frame_duration(dts, 90_000, claim) == (expected, True)


@pytest.mark.parametrize("claim", [1000.0, 15.0, 0.0, -1.0])
def test_a_false_claim_is_not_believed(claim: float) -> None:
    assert frame_duration(dts_of(media.pictures(25, seconds=1)), 90_000, claim) == (Fraction(1, 25), True)


def test_an_odd_rate_is_taken_as_measured() -> None:
    duration, constant = frame_duration([index * 4_000 for index in range(30)], 90_000)
    assert (duration, constant) == (Fraction(4_000, 90_000), True)


def test_one_frame_says_nothing() -> None:
    assert frame_duration([5], 90_000) == (Fraction(1, 30), True)
    assert frame_duration([5], 90_000, 25.0) == (Fraction(1, 25), True)


@pytest.mark.parametrize(
    ("gop_ms", "target_s"),
    [
        (500, 2),
        (2_000, 2),
        (2_002, 2),  # rounds to 2, as RFC 8216bis compares
        (2_200, 2),
        (2_300, 3),
        (4_171, 4),
        (8_333, 9),
        (10_000, 10),
        (60_000, 10),  # never waited for: cut without a key frame
        (None, 10),
    ],
)
def test_target_duration_holds_the_group_of_pictures(gop_ms: int | None, target_s: int) -> None:
    epoch = plan(cadence(Fraction(1, 30), gop_ms=gop_ms), HlsSettings())
    assert epoch.target_duration_s == target_s
    assert epoch.hold_back_ms == 3_000 * target_s
    assert epoch.can_skip_until_ms == 6_000 * target_s
    assert epoch.part_hold_back_ms == 3 * epoch.part_target_ms
    if gop_ms is not None and gop_ms <= 10_000:
        assert gop_ms * 1_000 <= epoch.segment_limit_us


@settings(max_examples=200)
@given(
    fps=st.fractions(min_value=Fraction(4), max_value=Fraction(240), max_denominator=1001),
    part_ms=st.integers(100, 2_000),
)
def test_regular_parts_fill_their_target_to_85_percent(fps: Fraction, part_ms: int) -> None:
    epoch = plan(cadence(1 / fps), HlsSettings(part_ms=part_ms, segment_ms=2 * part_ms))
    frames = round(epoch.part_us / 1_000_000 * fps)
    assert frames >= 1
    assert epoch.part_us <= epoch.part_target_ms * 1_000
    assert epoch.part_us >= 0.85 * epoch.part_target_ms * 1_000
    assert epoch.part_us >= (part_ms - 1_000 / fps / 50) * 1_000 - 1
    assert epoch.part_target_ms == ceil(Fraction(frames) / fps * 1_000) + 1
