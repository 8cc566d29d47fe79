from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.live.timeline import REPAIRS, TimelineRepair
from streamd.media import h264
from streamd.media.frames import EncodedFrame
from streamd.media.ticks import Unwrapper, rescale
from streamd.media.tracks import Codec, VideoTrack
from tests.rtmp_ingest.stage import CAPTURES, replay
from tests.support.coded import flv_of, messages
from tests.support.source_clock import (
    NOON_MS,
    Sent,
    Shown,
    audio_track,
    pictures,
    play,
    sound,
    steps,
    video_track,
)

VIDEO, AUDIO = video_track(30.0), audio_track()


def begun() -> TimelineRepair:
    timeline = TimelineRepair()
    timeline.begin(NOON_MS)
    return timeline


def counted(timeline: TimelineRepair) -> dict[str, int]:
    return {name: count for name, count in timeline.repairs.items() if count}


def sync_error_ms(video: list[Shown], audio: list[Shown]) -> float:
    """How far picture and sound are apart, at worst, comparing each frame of sound with the pictures around it."""
    worst, place = 0.0, 0
    for each in audio:
        while place + 1 < len(video) and video[place + 1].sent.content_ms <= each.sent.content_ms:
            place += 1
        near = video[max(place - 1, 0) : place + 2]
        worst = max(worst, min(abs(each.shift_ms - other.shift_ms) for other in near))
    return worst


def increasing(shown: list[Shown]) -> bool:
    return all(step > 0 for step in steps(shown))


# A publication begins.


def test_first_frame_stands_at_the_wall_clock() -> None:
    video, _ = play(begun(), pictures(VIDEO, end_ms=100, stamp=lambda t: t + 123_456), start_ms=NOON_MS + 7)
    assert video[0].at_ms == NOON_MS + 7


def test_sound_and_picture_keep_the_distance_that_the_encoder_gave_them() -> None:
    late_sound = sound(AUDIO, end_ms=2_000, stamp=lambda t: t + 180)
    video, audio = play(begun(), [*pictures(VIDEO, end_ms=2_000), *late_sound])
    assert float(audio[0].at_ms - video[0].at_ms) == pytest.approx(180, abs=1)
    early_sound = sound(AUDIO, end_ms=2_000)
    video, audio = play(begun(), [*pictures(VIDEO, end_ms=2_000, stamp=lambda t: t + 66), *early_sound])
    assert float(video[0].at_ms - audio[0].at_ms) == pytest.approx(66, abs=1)


def test_picture_before_the_first_sound_is_not_lost() -> None:
    timeline = begun()
    video, audio = play(timeline, [*sound(AUDIO, end_ms=500, stamp=lambda t: t + 1_000), *pictures(VIDEO, end_ms=500)])
    assert float(audio[0].at_ms - video[0].at_ms) == pytest.approx(1_000, abs=1)
    assert counted(timeline) == {}


def test_sound_ten_seconds_late_has_the_same_origin() -> None:
    timeline = begun()
    video, audio = play(timeline, [*pictures(VIDEO, end_ms=20_000), *sound(AUDIO, begin_ms=10_000, end_ms=20_000)])
    assert sync_error_ms(video, audio) < 1.5
    assert counted(timeline) == {}


def test_late_track_with_a_zero_of_its_own_is_put_beside_the_others() -> None:
    timeline = begun()
    own = sound(AUDIO, begin_ms=10_000, end_ms=15_000, stamp=lambda t: t - 9_990)
    video, audio = play(timeline, [*pictures(VIDEO, end_ms=15_000), *own])
    assert sync_error_ms(video, audio) < 60
    assert counted(timeline) == {"track_realigned": 1}


def test_stray_first_frame_before_the_media_does_not_part_the_tracks() -> None:
    timeline = begun()
    stray = [Sent(0, AUDIO, 0, 0)]
    sent = [*sound(AUDIO, begin_ms=30, end_ms=5_000, stamp=lambda t: t + 86_400_000)]
    sent += pictures(VIDEO, begin_ms=20, end_ms=5_000, stamp=lambda t: t + 86_400_000)
    video, audio = play(timeline, stray + sent)
    assert sync_error_ms(video, audio[1:]) < 35
    assert float(audio[-1].at_ms) < NOON_MS + 5_200


def test_publication_after_a_pause_begins_at_the_wall_clock() -> None:
    timeline = begun()
    first, _ = play(timeline, pictures(VIDEO, end_ms=2_000))
    timeline.begin(NOON_MS + 60_000)
    second, _ = play(timeline, pictures(VIDEO, end_ms=2_000, stamp=lambda t: t + 5), start_ms=NOON_MS + 60_000)
    assert second[0].at_ms == NOON_MS + 60_000
    assert second[0].at_ms > first[-1].at_ms


def test_publication_that_takes_over_goes_on_behind_the_last_frame() -> None:
    timeline = begun()
    ahead = [
        *pictures(VIDEO, end_ms=3_000, arrival=lambda t: t / 2),
        *sound(AUDIO, end_ms=3_000, arrival=lambda t: t / 2),
    ]
    first, first_audio = play(timeline, ahead)
    end_ms = max(first[-1].at_ms, first_audio[-1].at_ms)
    timeline.begin(NOON_MS + 1_600)
    again = [*pictures(VIDEO, end_ms=1_000), *sound(AUDIO, end_ms=1_000)]
    second, second_audio = play(timeline, again, start_ms=NOON_MS + 1_600)
    assert second[0].at_ms > end_ms
    assert second[0].at_ms - end_ms < 100
    assert increasing(first + second)
    assert increasing(first_audio + second_audio)
    assert sync_error_ms(second, second_audio) < 1.5
    assert counted(timeline) == {}


def test_thousand_takeovers_in_a_minute_never_go_back() -> None:
    timeline = TimelineRepair()
    video: list[Shown] = []
    audio: list[Shown] = []
    for turn in range(1_000):
        start_ms = NOON_MS + turn * 60
        timeline.begin(start_ms)
        sent = [*pictures(VIDEO, end_ms=100), *sound(AUDIO, end_ms=100, stamp=lambda t: max(0, t - 20))]
        some_video, some_audio = play(timeline, sent, start_ms=start_ms)
        video += some_video
        audio += some_audio
    assert increasing(video)
    assert increasing(audio)


# Steady and unsteady frame rates.

RATES = [
    Fraction(24_000, 1_001),
    Fraction(24),
    Fraction(25),
    Fraction(30_000, 1_001),
    Fraction(30),
    Fraction(50),
    Fraction(60_000, 1_001),
    Fraction(60),
]


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("b_frames", [False, True])
def test_milliseconds_of_a_steady_rate_become_exact(rate: Fraction, b_frames: bool) -> None:
    track = video_track(round(float(rate), 3))
    frame_ms = 1_000 / rate
    sent = [
        each._replace(cts_ms=int((index + 1 + index % 3) * frame_ms) - int(index * frame_ms) if b_frames else 0)
        for index, each in enumerate(pictures(track, fps=rate, end_ms=20_000, stamp=lambda t: t + 17))
    ]
    timeline = begun()
    video, _ = play(timeline, sent)
    exact = [round(Fraction(90_000) * index / rate) for index in range(len(video))]
    base = video[0].frame.dts
    assert max(abs(each.frame.dts - base - place) for each, place in zip(video, exact, strict=True)) <= 1
    assert len(set(steps(video))) <= 2
    assert all(abs(each.shift_ms - video[0].shift_ms) <= 1 for each in video)
    if b_frames:
        ends = [each.frame.dts + each.frame.cts - base for each in video]
        wanted = [round(Fraction(90_000) * (index + 1 + index % 3) / rate) for index in range(len(video))]
        assert max(abs(end - want) for end, want in zip(ends, wanted, strict=True)) <= 2
    assert counted(timeline) == {}


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_rate_that_the_bitstream_does_not_tell_is_found_within_six_seconds(rate: Fraction) -> None:
    video, _ = play(begun(), pictures(video_track(None), fps=rate, end_ms=60_000))
    settled = [each for each in video if each.sent.content_ms > 6_000]
    exact = Fraction(90_000) / rate
    assert {abs(step - exact) < 1 for step in steps(settled)} == {True}
    count = len(settled) - 1
    assert abs(settled[-1].frame.dts - settled[0].frame.dts - count * exact) <= 1


def test_claim_that_is_not_true_is_given_up_and_the_true_rate_found() -> None:
    video, _ = play(begun(), pictures(video_track(60_000 / 1_001), fps=25, end_ms=20_000))
    assert set(steps([each for each in video if each.sent.content_ms > 7_000])) == {3_600}


@pytest.mark.parametrize("claim", [30.0, None])
def test_variable_rate_keeps_its_times(claim: float | None) -> None:
    instants = [0]
    for index in range(900):
        instants.append(instants[-1] + (17, 41, 26, 88, 33, 12)[index % 6] + index % 5)
    track = video_track(claim)
    timeline = begun()
    video, _ = play(timeline, [Sent(t, track, t, t) for t in instants])
    assert [each.shift_ms for each in video] == pytest.approx([NOON_MS] * len(video), abs=1)
    exact = sum(each.shift_ms == NOON_MS for each in video)
    assert exact > 850, "a grid may only touch what happens to lie on it"
    assert counted(timeline) == {}


def test_frames_that_the_encoder_left_out_are_holes_in_the_grid() -> None:
    sent = [each for index, each in enumerate(pictures(VIDEO, end_ms=10_000)) if index % 7 not in (3, 4)]
    video, _ = play(begun(), sent)
    assert set(steps(video)) == {3_000, 9_000}


def test_encoder_clock_a_little_off_keeps_an_exact_grid_most_of_the_time() -> None:
    video, _ = play(begun(), pictures(VIDEO, end_ms=300_000, stamp=lambda t: t * 1.00005))
    assert sum(step == 3_000 for step in steps(video)) > len(video) * 0.99
    assert abs(video[-1].shift_ms - NOON_MS - 15) < 2.5


def test_slide_show_is_no_fault() -> None:
    timeline = begun()
    video, _ = play(timeline, pictures(video_track(1.0), fps=1, end_ms=30_000))
    assert set(steps(video)) == {90_000}
    assert counted(timeline) == {}
    video, _ = play(timeline, [Sent(40_000 + 5_000 * n, VIDEO, 40_000 + 5_000 * n, 0) for n in range(10)])
    assert set(steps(video)) == {450_000}
    assert set(counted(timeline)) == {"source_gap"}


# Decode times that do not increase, offsets.


def test_equal_and_falling_decode_times_move_by_a_tick_and_are_shown_when_they_should() -> None:
    timeline = begun()
    stamps = [0, 133, 66, 33, 100, 266, 200, 166, 233, 400]  # presentation times sent as decode times
    video, _ = play(timeline, [Sent(40 * n, VIDEO, stamp, stamp) for n, stamp in enumerate(stamps)])
    assert increasing(video)
    shown_ms = [float(Fraction(each.frame.dts + each.frame.cts, 90) - NOON_MS) for each in video]
    assert shown_ms == pytest.approx(stamps, abs=1.1)
    assert timeline.repairs["dts_not_increasing"] == 6


def test_repeated_decode_time_is_counted_and_moved() -> None:
    timeline = begun()
    video, _ = play(timeline, [Sent(33 * n, VIDEO, 33 * (n // 2), 0) for n in range(10)])
    assert increasing(video)
    assert counted(timeline) == {"dts_not_increasing": 5}


def test_negative_offsets_are_kept() -> None:
    timeline = begun()
    sent = [each._replace(cts_ms=-33 if n % 2 else 67) for n, each in enumerate(pictures(VIDEO, end_ms=2_000))]
    video, _ = play(timeline, sent)
    assert {each.frame.cts for each in video} == {-3_000, 6_000}
    assert counted(timeline) == {}


@pytest.mark.parametrize("cts_ms", [5_001, -5_001, 8_388_607, -8_388_608])
def test_absurd_offset_becomes_zero(cts_ms: int) -> None:
    timeline = begun()
    video, _ = play(timeline, pictures(VIDEO, end_ms=200, cts_ms=cts_ms))
    assert {each.frame.cts for each in video} == {0}
    assert counted(timeline) == {"cts_out_of_range": 6}


# Jumps and gaps.


def jumping(by_ms: float, *, at_ms: float, sound_later_ms: float = 0) -> list[Sent]:
    """Twenty seconds; at some instant the encoder's clock jumps, for the sound a little later than for the picture."""
    return [
        *pictures(VIDEO, end_ms=20_000, stamp=lambda t: t + 50_000 + (by_ms if t >= at_ms else 0)),
        *sound(AUDIO, end_ms=20_000, stamp=lambda t: t + 50_000 + (by_ms if t >= at_ms + sound_later_ms else 0)),
    ]


@pytest.mark.parametrize("by_ms", [10_000, 86_400_000, 1_500, -10_000, -50_000, -700])
@pytest.mark.parametrize("sound_later_ms", [0, 90, -90])
def test_jump_of_the_source_clock_leaves_no_gap_and_no_slide(by_ms: float, sound_later_ms: float) -> None:
    timeline = begun()
    video, audio = play(timeline, jumping(by_ms, at_ms=8_000, sound_later_ms=sound_later_ms))
    assert increasing(video)
    assert increasing(audio)
    assert max(steps(video)) < 90 * 250
    assert max(steps(audio)) < 48 * 250
    before = [[each for each in shown if each.sent.content_ms < 7_800] for shown in (video, audio)]
    after = [[each for each in shown if each.sent.content_ms > 8_500] for shown in (video, audio)]
    assert sync_error_ms(*before) < 1.5
    assert sync_error_ms(*after) < 60 if sound_later_ms else sync_error_ms(*after) < 40
    assert abs(float(video[-1].at_ms) - NOON_MS - 20_000) < 250
    word = "timestamp_jump_forward" if by_ms > 0 else "timestamp_jump_back"
    assert timeline.repairs[word] == 1, "one event, though two tracks noticed"


def test_jump_there_and_back_again_restores_the_old_mapping() -> None:
    timeline = begun()

    def glitch(t: float) -> float:
        return t + (10_000 if 5_000 <= t < 5_100 else 0)

    video, audio = play(timeline, [*pictures(VIDEO, end_ms=10_000, stamp=glitch), *sound(AUDIO, end_ms=10_000)])
    assert sync_error_ms(video, audio) < 60
    assert sync_error_ms(video[-100:], audio[-100:]) < 1.5
    assert timeline.repairs["timestamp_jump_forward"] == 1


def test_small_step_back_of_the_clock_is_overlap_and_not_a_jump() -> None:
    timeline = begun()
    video, audio = play(timeline, jumping(-300, at_ms=8_000))
    assert increasing(video)
    assert increasing(audio)
    assert sync_error_ms(video[-100:], audio[-100:]) < 50
    assert timeline.repairs["timestamp_jump_back"] == 0
    assert timeline.repairs["audio_overlap"] > 0


@pytest.mark.parametrize("late_ms", [300, 600, 800, 1_500, 2_500])
def test_late_sound_among_punctual_sound_does_not_run_away_from_the_pictures(late_ms: int) -> None:
    """An encoder whose sound was late is in time again, and mixes what is left of the late sound into the other."""
    timeline = begun()
    video, audio = play(
        timeline,
        [
            *pictures(VIDEO, end_ms=30_000),
            *sound(AUDIO, end_ms=30_000, arrival=lambda t: t + (late_ms if 10_000 < t < 20_000 else 0)),
        ],
    )
    assert increasing(audio)
    assert sync_error_ms(video, audio) < 1.5
    assert timeline.repairs["timestamp_jump_back"] == 0
    assert timeline.repairs["audio_overlap"] > 0


def test_pause_of_the_source_stays_a_gap() -> None:
    timeline = begun()
    sent = [each for each in jumping(0, at_ms=0) if not 5_000 <= each.content_ms < 15_000]
    video, audio = play(timeline, sent)
    assert [each.shift_ms for each in video] == pytest.approx([NOON_MS] * len(video), abs=1)
    assert sync_error_ms(video, audio) < 1.5
    assert counted(timeline) == {"source_gap": 2}


def test_gap_behind_a_stall_of_the_network_stays_a_gap() -> None:
    timeline = begun()

    def stalled(t: float) -> float:
        return max(t, 9_000) if t > 3_000 else t

    sent = [
        *pictures(VIDEO, end_ms=15_000, arrival=stalled),
        *sound(AUDIO, end_ms=15_000, arrival=stalled),
    ]
    video, audio = play(timeline, [each for each in sent if not 4_000 <= each.content_ms < 8_000])
    assert [each.shift_ms for each in video] == pytest.approx([NOON_MS] * len(video), abs=1)
    assert sync_error_ms(video, audio) < 1.5
    assert counted(timeline) == {"source_gap": 2}


def test_restart_of_the_source_clock_after_a_pause_goes_to_the_wall_clock() -> None:
    timeline = begun()
    sent = [each for each in jumping(-50_000, at_ms=12_000) if not 5_000 <= each.content_ms < 12_000]
    video, audio = play(timeline, sent)
    assert float(video[-1].at_ms) == pytest.approx(NOON_MS + 20_000, abs=150)
    assert sync_error_ms(video[-100:], audio[-100:]) < 40


def test_push_faster_than_time_is_taken_as_it_comes() -> None:
    timeline = begun()
    sent = [
        *pictures(VIDEO, end_ms=60_000, arrival=lambda t: t / 10),
        *sound(AUDIO, end_ms=60_000, arrival=lambda t: t / 10),
    ]
    video, _ = play(timeline, sent)
    assert set(steps(video)) == {3_000}
    assert counted(timeline) == {}


@pytest.mark.parametrize("start", [0xFFFFFF00, 0xFFFF_FFFF, 0x7FFF_FF00, 0xFFFFFF])
def test_counter_that_starts_near_its_wrap_goes_on(start: int) -> None:
    timeline = begun()
    unwrap = Unwrapper(32).unwrap  # one for both tracks, as ingest has it
    sent = sorted([*pictures(VIDEO, end_ms=2_000), *sound(AUDIO, end_ms=2_000)], key=lambda each: each.arrives_ms)
    wrapped = [each._replace(stamp_ms=unwrap((each.stamp_ms + start) % (1 << 32))) for each in sent]
    video, audio = play(timeline, wrapped)
    assert set(steps(video)) == {3_000}
    assert set(steps(audio)) == {1_024}
    assert sync_error_ms(video, audio) < 1.5
    assert counted(timeline) == {}


def test_tracks_whose_first_frames_lie_on_both_sides_of_the_wrap_stay_together() -> None:
    timeline = begun()
    unwrap = Unwrapper(32).unwrap
    start = (1 << 32) - 10  # the first picture before the wrap, the first sound behind it
    sent = sorted(
        [*pictures(VIDEO, end_ms=3_000), *sound(AUDIO, begin_ms=22, end_ms=3_000)], key=lambda each: each.arrives_ms
    )
    wrapped = [each._replace(stamp_ms=unwrap((each.stamp_ms + start) % (1 << 32))) for each in sent]
    video, audio = play(timeline, wrapped)
    assert set(steps(audio)) == {1_024}
    assert sync_error_ms(video, audio) < 1.5
    assert counted(timeline) == {}


def test_wrap_that_each_track_counts_for_itself_does_not_part_them() -> None:
    """As a source does whose tracks have a counter each: one starts before the wrap, the other behind it."""
    timeline = begun()
    behind = 1 << 32
    sent = [
        *pictures(VIDEO, end_ms=3_000, stamp=lambda t: t + behind),
        *sound(AUDIO, begin_ms=22, end_ms=3_000),
    ]
    video, audio = play(timeline, sent)
    assert increasing(audio)
    assert sync_error_ms(video, audio) < 60
    assert counted(timeline) == {"track_realigned": 1}


# Sound.


@pytest.mark.parametrize(("rate", "samples"), [(44_100, 1_024), (48_000, 960), (44_100, 2_048), (22_050, 1_024)])
def test_sound_is_contiguous_whatever_milliseconds_say(rate: int, samples: int) -> None:
    track = audio_track(rate, samples=samples)
    timeline = begun()
    _, audio = play(timeline, sound(track, end_ms=120_000, stamp=lambda t: t + 3))
    assert set(steps(audio)) == {samples}
    assert counted(timeline) == {}


def test_jitter_of_thirty_milliseconds_does_not_touch_the_sound() -> None:
    timeline = begun()
    stamps = iter(range(1_000_000))
    _, audio = play(timeline, sound(AUDIO, end_ms=60_000, stamp=lambda t: t + (7 * next(stamps) + 15) % 31))
    assert set(steps(audio)) == {1_024}
    assert counted(timeline) == {}


def test_lost_sound_of_five_frames_is_a_gap_at_once_and_of_one_frame_is_made_up_slowly() -> None:
    timeline = begun()
    sent = [each for index, each in enumerate(sound(AUDIO, end_ms=60_000)) if not 100 <= index < 105]
    _, audio = play(timeline, sent)
    assert sorted(set(steps(audio)))[-1] == pytest.approx(6 * 1_024, abs=48)
    assert set(steps(audio)[:99]) == {1_024}
    assert timeline.repairs["audio_resync"] == 1
    timeline = begun()
    sent = [each for index, each in enumerate(sound(AUDIO, end_ms=60_000)) if index != 100]
    _, audio = play(timeline, sent)
    assert set(steps(audio)) == {1_024, 1_025}
    assert abs(audio[-1].shift_ms - audio[0].shift_ms) < 2.5
    assert counted(timeline) == {"audio_slew": 1}


@pytest.mark.parametrize("ppm", [100, -100, 400])
def test_sample_clock_that_runs_away_from_the_timestamps_is_followed(ppm: int) -> None:
    timeline = begun()
    true = sound(AUDIO, end_ms=600_000, stamp=lambda t: t * (1 + ppm / 1_000_000))
    sent = [each._replace(content_ms=each.content_ms * (1 + ppm / 1_000_000)) for each in true]
    video, audio = play(timeline, [*pictures(VIDEO, end_ms=600_000), *sent])
    assert sync_error_ms(video, audio) < 20
    assert {abs(step - 1_024) for step in steps(audio)} == {0, 1}
    assert set(counted(timeline)) == {"audio_slew"}


def test_several_frames_with_one_stamp_are_laid_end_to_end() -> None:
    timeline = begun()
    sent = [
        each._replace(stamp_ms=int(index // 8 * 8 * 1_024 / 48))
        for index, each in enumerate(sound(AUDIO, end_ms=9_000))
    ]
    _, audio = play(timeline, sent)
    assert set(steps(audio)) == {1_024}
    assert counted(timeline) == {}


def test_sound_without_timestamps_is_timed_by_its_samples() -> None:
    timeline = begun()
    _, audio = play(timeline, sound(AUDIO, end_ms=30_000, stamp=lambda t: 0))
    assert set(steps(audio)) == {1_024}


def test_sound_that_is_too_long_for_its_timestamps_loses_frames_and_not_the_picture() -> None:
    timeline = begun()
    wrong = audio_track(44_100)
    sent = [
        Sent(each.arrives_ms, wrong, each.stamp_ms, each.content_ms) for each in sound(AUDIO, end_ms=60_000)
    ]  # 48 kHz sent under a header that says 44.1 kHz
    video, audio = play(timeline, [*pictures(VIDEO, end_ms=60_000), *sent])
    assert increasing(audio)
    assert sync_error_ms(video, audio) < 60
    assert 0.85 < len(audio) / len(sent) < 0.95


def test_opus_packets_last_as_long_as_they_say() -> None:
    track = audio_track(samples=960, codec=Codec.OPUS)
    timeline = begun()
    forty_ms = b"\xfd\x00"  # two frames of 20 ms
    out = []
    for index in range(100):
        frame = EncodedFrame(track, index * 40 * 48, 0, True, forty_ms)
        repaired = timeline.repair(frame, NOON_MS + index * 40)
        assert repaired is not None
        out.append(repaired.dts)
    assert {after - before for before, after in pairwise(out)} == {1_920}
    assert counted(timeline) == {}


def test_silence_that_opus_does_not_send_is_a_gap() -> None:
    track = audio_track(samples=960, codec=Codec.OPUS)
    timeline = begun()
    sent = [each for each in sound(track, end_ms=10_000) if not 4_000 <= each.content_ms < 4_400]
    _, audio = play(timeline, sent)
    assert sorted(set(steps(audio))) == [960, 960 * 21]
    assert counted(timeline) == {"audio_resync": 1}


# Revisions.


def test_changed_picture_keeps_the_timeline_and_the_grid() -> None:
    timeline = begun()
    other = video_track(30.0, width=720)
    sent = [*pictures(VIDEO, end_ms=5_000), *pictures(other, begin_ms=5_000, end_ms=10_000)]
    video, _ = play(timeline, sent)
    assert set(steps(video)) == {3_000}
    assert counted(timeline) == {}


def test_changed_sample_rate_keeps_the_timeline() -> None:
    timeline = begun()
    other = audio_track(44_100)
    sent = [*sound(AUDIO, end_ms=5_000), *sound(other, begin_ms=5_000, end_ms=10_000), *pictures(VIDEO, end_ms=10_000)]
    video, audio = play(timeline, sent)
    assert all(after.at_ms > before.at_ms for before, after in pairwise(audio))
    assert sync_error_ms(video, audio) < 3
    assert max(float(after.at_ms - before.at_ms) for before, after in pairwise(audio)) < 60


def test_second_rendition_is_timed_beside_the_first() -> None:
    timeline = begun()
    small = VIDEO.__class__(
        codec=Codec.H264, config=b"", codec_string="avc1", width=640, height=360, track_id=1, nominal_fps=30.0
    )
    video, _ = play(timeline, [*pictures(VIDEO, end_ms=3_000), *pictures(small, end_ms=3_000)])
    by_track = [[each.frame.dts for each in video if each.frame.track is track] for track in (VIDEO, small)]
    assert by_track[0] == by_track[1]


# Against the wall clock.


@pytest.mark.parametrize("ppm", [100, -100])
def test_day_on_air_with_a_clock_that_is_off_keeps_the_hour_and_the_lips(ppm: int) -> None:
    """24 hours with few frames a second: 5 pictures, and sound in frames of 256 ms."""
    rate = 1 + ppm / 1_000_000
    timeline = begun()
    speech, slow = audio_track(8_000, samples=2_048), video_track(5.0)
    day_ms = 86_400_000
    at_video = sounds = last_utc = 0
    worst_utc = worst_sync = 0.0
    for content in range(0, day_ms, 200):
        now = NOON_MS + int(content / rate) + content * 37 // 200 % 80
        frame = timeline.repair(EncodedFrame(slow, content * 90, 0, True, b""), now)
        assert frame is not None
        assert frame.dts > at_video
        at_video = frame.dts
        utc = timeline.utc_ms(at_video // 90)
        assert utc >= last_utc
        last_utc = utc
        if content > 20_000:
            worst_utc = max(worst_utc, abs(utc - (NOON_MS + content / rate)))
        while sounds * 256 <= content:
            heard = timeline.repair(EncodedFrame(speech, sounds * 2_048, 0, True, b""), now)
            assert heard is not None
            shift = heard.dts / 8 - sounds * 256
            worst_sync = max(worst_sync, abs(shift - (at_video / 90 - content)))
            sounds += 1
    assert worst_utc < 120
    assert worst_sync < 20
    assert timeline.drift_ms == pytest.approx(day_ms * ppm / 1_000_000, abs=100)
    assert counted(timeline) == {}


def test_burst_at_the_start_is_not_the_future_for_long() -> None:
    timeline = begun()
    video, _ = play(timeline, pictures(VIDEO, end_ms=600_000, arrival=lambda t: max(0, t - 1_000)))
    last = video[-1]
    hour = timeline.utc_ms(int(last.at_ms))
    assert abs(hour - (NOON_MS + last.sent.arrives_ms)) < 20


def test_congestion_of_half_a_minute_does_not_move_the_hour() -> None:
    timeline = begun()

    def congested(t: float) -> float:
        return max(t, min(t + 3_000, 70_000)) if t > 40_000 else t

    sent = pictures(VIDEO, end_ms=120_000, arrival=congested)
    video, _ = play(timeline, sent)
    assert {abs(timeline.utc_ms(int(each.at_ms)) - int(each.at_ms)) < 25 for each in video} == {True}


def test_server_clock_that_is_set_is_followed_without_going_back() -> None:
    timeline = begun()
    sent = pictures(VIDEO, end_ms=1_200_000, arrival=lambda t: t + (6_000 if t > 100_000 else 0))
    hours = []
    for each in sent:
        frame = timeline.repair(each.frame(), NOON_MS + int(each.arrives_ms))
        assert frame is not None
        hours.append(timeline.utc_ms(frame.dts // 90))
    assert all(after >= before for before, after in pairwise(hours))
    assert abs(hours[-1] - (NOON_MS + sent[-1].arrives_ms)) < 1_000


def test_hour_is_set_right_when_the_next_publication_begins() -> None:
    timeline = begun()
    fast = pictures(VIDEO, end_ms=60_000, arrival=lambda t: t / 2)
    video, _ = play(timeline, fast)
    end = int(video[-1].at_ms)
    before = timeline.utc_ms(end)
    timeline.begin(NOON_MS + 90_000)
    video, _ = play(timeline, pictures(VIDEO, end_ms=1_000), start_ms=NOON_MS + 90_000)
    assert timeline.utc_ms(int(video[0].at_ms)) == pytest.approx(NOON_MS + 90_000, abs=2)
    assert timeline.utc_ms(end) == before, "what is in the store keeps its hour"
    assert timeline.utc_ms(int(video[0].at_ms)) > before


# Real encoders.


@pytest.mark.parametrize("rate", [Fraction(30_000, 1_001), Fraction(25)], ids=str)
def test_frames_of_x264_and_aac_come_out_on_exact_grids(rate: Fraction) -> None:
    options = (("x264-params", "bframes=2:b-adapt=0:scenecut=0"),)
    timeline = begun()
    track: VideoTrack | None = None
    times: list[tuple[int, int]] = []
    heard: list[int] = []
    for message in messages(flv_of("libx264", "aac", fps=rate, seconds=2.0, options=options)):
        body = message.body
        if body[:2] == b"\x17\x00":
            track = h264.track_from_avcc(body[5:])[0]
        elif message.kind == 9 and body[1] == 1:
            assert track is not None
            cts = int.from_bytes(body[2:5], "big", signed=True) * 90
            frame = timeline.repair(EncodedFrame(track, message.timestamp_ms * 90, cts, False, b""), NOON_MS)
            assert frame is not None
            times.append((frame.dts, frame.dts + frame.cts))
        elif body[:2] == b"\xaf\x01":
            frame = timeline.repair(EncodedFrame(AUDIO, message.timestamp_ms * 48, 0, True, b""), NOON_MS)
            assert frame is not None
            heard.append(frame.dts)
    step = int(90_000 / rate)
    assert {after - before for (before, _), (after, _) in pairwise(times)} == {step}
    assert {after - before for before, after in pairwise(sorted(shown for _, shown in times))} == {step}
    assert {after - before for before, after in pairwise(heard)} == {1_024}
    assert counted(timeline) == {}


@pytest.mark.parametrize("capture", sorted(path.name for path in CAPTURES.glob("*.bin")))
def test_captured_publications_come_out_on_exact_grids(capture: str) -> None:
    timeline = begun()
    times: dict[bool, list[int]] = {True: [], False: []}
    for frame in replay([(CAPTURES / capture).read_bytes()]).frames:
        repaired = timeline.repair(frame, NOON_MS + frame.dts * 1_000 // frame.track.timescale_hz)
        assert repaired is not None
        times[frame.track.is_video].append(repaired.dts)
    assert {after - before for before, after in pairwise(times[True])} == {3_000}
    assert {after - before for before, after in pairwise(times[False])} == {1_024}
    assert counted(timeline) == {}


# Laws.

INSTANT = st.one_of(
    st.integers(0, 50), st.integers(-600, 1_200), st.integers(-100_000, 100_000), st.integers(-(1 << 33), 1 << 33)
)
TRACKS = [VIDEO, AUDIO, audio_track(44_100), video_track(None), audio_track(samples=960, codec=Codec.OPUS)]
EVENT = st.tuples(
    st.sampled_from(TRACKS), INSTANT, st.integers(0, 3_000), st.integers(-(1 << 23), 1 << 23), st.booleans()
)


@given(st.lists(EVENT, max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_a_source_claims_decode_time_is_strictly_increasing(
    events: list[tuple[object, int, int, int, bool]],
) -> None:
    timeline = TimelineRepair()
    now, stamp = NOON_MS, 0
    last: dict[bool, Fraction] = {}
    last_hour, head = 0, 0
    for track, step, elapsed, cts, is_new in events:
        now += elapsed
        stamp += step
        if is_new and step % 7 == 0:
            timeline.begin(now)
        hz = track.timescale_hz  # type: ignore[attr-defined]
        frame = timeline.repair(EncodedFrame(track, rescale(stamp, 1_000, hz), cts, True, b"\xfc"), now)  # type: ignore[arg-type]
        if frame is None:
            assert not track.is_video, "a picture is never left out"  # type: ignore[attr-defined]
            continue
        at = Fraction(frame.dts, hz)
        assert at > last.get(frame.track.is_video, Fraction(0))
        last[frame.track.is_video] = at
        assert abs(frame.cts) <= 5.6 * 90_000
        head = max(head, int(at * 1_000))
        hour = timeline.utc_ms(head)
        assert hour >= last_hour
        last_hour = hour
    assert set(timeline.repairs) == set(REPAIRS)


@given(st.integers(1, 120), st.integers(0, 40), st.integers(1, 1 << 32))
@settings(max_examples=50, deadline=None)
def test_jitter_of_arrival_leaves_no_trace(fps: int, jitter_ms: int, origin: int) -> None:
    timeline = begun()
    track = video_track(None)
    sent = pictures(track, fps=fps, end_ms=4_000, stamp=lambda t: t + origin, arrival=lambda t: t + t % (jitter_ms + 1))
    video, _ = play(timeline, sent, in_order=True)
    assert [each.shift_ms for each in video] == pytest.approx([video[0].shift_ms] * len(video), abs=1.01)
    assert counted(timeline) == {}
