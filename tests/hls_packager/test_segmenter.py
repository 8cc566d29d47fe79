from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls_packager.model import Cadence, HostWarning
from hls_packager.silence import STAND_IN
from streamd.media.frames import EncodedFrame
from tests.hls_packager.stage import Stage, is_contiguous, short_parts, since_start_ms
from tests.hls_packager.test_planner import PART_TARGETS_MS, RATES
from tests.support import hls_media as media
from tests.support.hls_media import AUDIO, AUDIO_44100, START_MS, VIDEO, interleaved, pictures, pictures_at, sounds


def shifted(frames: list[EncodedFrame], ms: int) -> list[EncodedFrame]:
    return [frame._replace(dts=frame.dts + ms * frame.track.timescale_hz // 1_000) for frame in frames]


def programme(
    *, seconds: float = 10, fps: Fraction | float = 30, gop: int = 60, start_ms: int = START_MS
) -> list[EncodedFrame]:
    return list(
        interleaved(
            pictures(fps, seconds=seconds, gop=gop, start_ms=start_ms), sounds(seconds=seconds, start_ms=start_ms)
        )
    )


# --- the epoch ---


def test_epoch_is_decided_at_the_second_key_frame() -> None:
    stage = Stage().push(programme(gop=30))
    assert stage.epoch is not None
    assert stage.epoch.target_duration_s == 2
    assert stage.frames_until_epoch <= 31 + 48


def test_without_a_second_key_frame_it_is_decided_after_two_and_a_half_seconds_with_room_for_ten() -> None:
    stage = Stage().push(programme(gop=250, seconds=2.6))
    assert stage.epoch is not None
    assert stage.epoch.target_duration_s == 10
    assert 2.4 < stage.frames_until_epoch / (30 + 46.875) < 2.6


def test_parts_of_the_time_before_the_decision_are_there_at_once() -> None:
    stage = Stage().push(programme(gop=250, seconds=2.6))
    assert [part.duration_us for part in stage.parts] == [500_000] * 5
    assert since_start_ms(stage.parts[0].start_us) == 0


def test_a_remembered_cadence_needs_no_wait() -> None:
    memory = Cadence(frame=Fraction(1, 30), constant=True, gop_ms=8_333, has_video=True, has_audio=True)
    stage = Stage(memory=memory).push(programme(gop=250, seconds=0.2))
    assert stage.epoch is not None
    assert stage.epoch.target_duration_s == 9
    assert stage.frames_until_epoch <= 3


def test_the_cadence_of_a_programme_is_what_the_next_one_may_count_on() -> None:
    stage = Stage().push(programme(gop=250, seconds=20)).pause()
    cadence = stage.segmenter.cadence
    assert cadence is not None
    assert cadence.gop_ms == 8_333
    assert (cadence.has_video, cadence.has_audio, cadence.frame) == (True, True, Fraction(1, 30))


def test_sound_that_was_announced_is_waited_for() -> None:
    stage = Stage()
    stage.announce(VIDEO, AUDIO)
    video = pictures(30, seconds=4, gop=30)
    late = sounds(seconds=2, start_ms=START_MS + 2_000)
    stage.push(interleaved(video, late))
    assert stage.made[0].opened.tracks.audio == AUDIO
    assert stage.discontinuities == 0


def test_a_stream_of_key_frames_alone_is_looked_at_for_half_a_second() -> None:
    stage = Stage().push(programme(gop=1, seconds=6)).pause()
    assert stage.epoch is not None
    assert stage.epoch.part_target_ms == 501
    assert {round(ms) for segment in stage.made[:-1] for ms in segment.parts_ms} == {500}


# --- parts ---


@pytest.mark.parametrize("milliseconds", [False, True], ids=["exact", "rounded to milliseconds"])
@pytest.mark.parametrize("name", RATES)
def test_parts_are_equal_and_whole_at_every_standard_rate(name: str, milliseconds: bool) -> None:
    fps = RATES[name]
    video = pictures(fps, seconds=20, gop=round(fps * 2), milliseconds=milliseconds)
    stage = Stage().push(interleaved(video, sounds(seconds=20))).pause()
    assert stage.epoch is not None
    assert stage.epoch.part_target_ms == PART_TARGETS_MS[name]
    assert short_parts(stage) == []
    frames = round(stage.epoch.part_us * fps / 1_000_000)
    counts = [len(part.video) for segment in stage.made[:-1] for part in segment.parts[:-1]]
    assert set(counts) == {frames}
    assert stage.pictures() == video


def test_a_part_closes_with_the_first_frame_after_it() -> None:
    stage = Stage().push(programme(seconds=4.0))
    before = len(stage.parts)
    later = [frame for frame in programme(seconds=5.0) if media.seconds_of(frame) >= Fraction(START_MS, 1000) + 4]
    first_pictures = [index for index, frame in enumerate(later) if frame.track.is_video]
    stage.push(later[: first_pictures[0] + 1])
    assert len(stage.parts) == before + 1
    stage.push(later[first_pictures[0] + 1 : first_pictures[15]])
    assert len(stage.parts) == before + 1
    stage.push(later[first_pictures[15] : first_pictures[15] + 1])
    assert len(stage.parts) == before + 2


def test_jitter_never_makes_a_part_too_long_or_too_short() -> None:
    jitter = [0, 130, -90, 60, -150, 20, 110, -40, 170, -130, 90]
    video = pictures(60, seconds=20, gop=120, jitter=lambda index: jitter[index % 11])
    stage = Stage().push(interleaved(video, sounds(seconds=20))).pause()
    assert short_parts(stage) == []
    assert stage.pictures() == video


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_variable_frame_rate_keeps_both_bounds(data: st.DataObject) -> None:
    """Any distances up to 15 % of the part target; longer ones are their own excuse."""
    steps = data.draw(st.lists(st.integers(8, 74), min_size=90, max_size=200))
    keys = set(data.draw(st.lists(st.integers(0, 199), max_size=6))) | {0}
    times = [sum(steps[:index]) for index in range(len(steps))]
    video = pictures_at(times, keys=sorted(keys))
    stage = Stage().push(interleaved(video, sounds(seconds=times[-1] / 1_000))).pause()
    assert stage.pictures() == video
    assert short_parts(stage) == []


def test_sound_goes_into_the_part_that_covers_its_time() -> None:
    early = shifted(sounds(seconds=8), -700)  # arrives 0.7 s before pictures of the same time
    stage = Stage()
    frames = list(interleaved(pictures(30, seconds=8), early))
    stage.push([frame if frame.track.is_video else shifted([frame], 700)[0] for frame in frames])
    for part in stage.parts[2:]:
        start = part.start_us / 1_000_000
        for frame in part.audio:
            at = frame.dts / 48_000
            assert start - 0.03 <= at < start + part.duration_us / 1_000_000


def test_sound_is_contiguous_to_the_sample_across_parts_and_segments() -> None:
    stage = Stage().push(programme(seconds=30))
    assert is_contiguous(stage.sounds())


def test_b_frames_do_not_disturb_parts_and_start_time_is_presentation_time() -> None:
    video = pictures(30, seconds=8, cts=lambda index: (6_000, 12_000, 3_000, 0)[index % 4])
    stage = Stage().push(interleaved(video, shifted(sounds(seconds=8), 66))).pause()
    assert stage.pictures() == video
    assert since_start_ms(stage.made[0].opened.start_us) == pytest.approx(66.7, abs=0.1)


def test_low_frame_rates_make_longer_parts() -> None:
    stage = Stage().push(interleaved(pictures(5, seconds=12, gop=10), sounds(seconds=12)))
    assert stage.epoch is not None
    assert stage.epoch.part_target_ms == 601
    assert short_parts(stage) == []
    slow = Stage().push(interleaved(pictures(1, seconds=12, gop=2), sounds(seconds=12)))
    assert slow.epoch is not None
    assert slow.epoch.part_target_ms == 1_001


# --- segments ---


@pytest.mark.parametrize(
    ("gop", "seconds"),
    [(60, 2.0), (30, 2.0), (15, 2.0), (45, 1.5), (21, 1.4), (250, 250 / 30)],
)
def test_segments_begin_at_key_frames_near_the_wished_length(gop: int, seconds: float) -> None:
    stage = Stage().push(programme(gop=gop, seconds=30))
    assert stage.seconds()[1:-1] == pytest.approx([seconds] * len(stage.seconds()[1:-1]), abs=0.001)
    assert all(segment.opened.independent for segment in stage.made)
    assert stage.warnings == []


def test_a_key_frame_at_a_change_of_scene_begins_an_independent_part() -> None:
    video = pictures(30, seconds=12, keys=lambda index: index % 15 == 0 or index == 100)
    stage = Stage().push(interleaved(video, sounds(seconds=12)))
    part = next(part for part in stage.parts if part.video[0].dts == video[100].dts)
    assert part.independent
    assert short_parts(stage) == []


def test_a_key_frame_out_of_turn_ends_the_segment_where_the_next_one_would_come_too_late() -> None:
    """x264 counts its key interval from the last key frame, also from one at a change of scene."""
    keys = {0, 60, 120, 159, 219, 279}
    stage = Stage().push(interleaved(pictures(30, seconds=11, keys=keys.__contains__), sounds(seconds=11)))
    assert stage.epoch is not None
    assert stage.epoch.target_duration_s == 2
    assert stage.seconds()[:5] == pytest.approx([2.0, 2.0, 1.3, 2.0, 2.0])
    assert stage.warnings == []


def test_a_group_of_pictures_beyond_the_promise_is_cut_and_the_host_is_told() -> None:
    keys = {0, 60, 120, 600}
    stage = Stage().push(interleaved(pictures(30, seconds=22, keys=keys.__contains__), sounds(seconds=22)))
    forced = [segment for segment in stage.made if not segment.opened.independent]
    assert forced
    assert HostWarning.GOP_TOO_LONG in stage.warnings
    assert len(stage.warnings) == len(forced)
    assert all(not segment.parts[0].independent for segment in forced)


def test_a_key_frame_every_twenty_seconds_is_cut_at_ten_without_one() -> None:
    stage = Stage().push(programme(gop=600, seconds=45))
    assert [segment.opened.independent for segment in stage.made[:4]] == [True, False, True, False]
    assert all(10.0 < length < 10.5 or length > 9 for length in stage.seconds()[:3])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_key_frames_keep_segments_within_the_target_and_lose_nothing(data: st.DataObject) -> None:
    count = data.draw(st.integers(60, 400))
    keys = {0} | set(data.draw(st.lists(st.integers(0, count), max_size=30)))
    fps = data.draw(st.sampled_from([15, 25, Fraction(30000, 1001), 60]))
    video = pictures(fps, seconds=count / float(fps), keys=keys.__contains__)
    stage = Stage().push(interleaved(video, sounds(seconds=count / float(fps)))).pause()
    assert stage.pictures() == video
    assert short_parts(stage) == []
    for segment in stage.made:
        if segment.opened.independent:
            assert segment.parts[0].video[0].is_sync


# --- sound alone, pictures alone ---


@pytest.mark.parametrize(("track", "part_us"), [(AUDIO, 512_000), (AUDIO_44100, 510_839), (media.OPUS, 500_000)])
def test_sound_alone_is_cut_by_its_frames_and_every_part_is_independent(track: media.AudioTrack, part_us: int) -> None:
    frames = sounds(seconds=20, track=track)
    stage = Stage().push(frames).pause()
    assert stage.epoch is not None
    assert stage.epoch.target_duration_s == 2
    assert all(part.independent for part in stage.parts)
    assert {part.duration_us for part in stage.parts[:-1]} <= {part_us, part_us + 1}
    assert stage.sounds() == frames
    assert all(segment.opened.tracks.video is None for segment in stage.made)


def test_a_part_of_sound_alone_closes_with_its_last_frame() -> None:
    frames = sounds(seconds=6)
    stage = Stage().push(frames[: 24 * 8])
    assert len(stage.parts) == 8
    stage.push(frames[24 * 8 : 24 * 9 - 1])
    assert len(stage.parts) == 8
    stage.push(frames[24 * 9 - 1 : 24 * 9])
    assert len(stage.parts) == 9


def test_pictures_alone_carry_silence() -> None:
    video = pictures(30, seconds=10)
    stage = Stage().push(video).pause()
    assert stage.made[0].opened.tracks.audio is STAND_IN
    assert stage.pictures() == video
    assert is_contiguous(stage.sounds())
    assert stage.discontinuities == 0
    for part in stage.parts:
        assert part.audio


# --- sound that comes late, ceases, changes ---


def test_sound_ten_seconds_late_takes_the_place_of_silence_without_a_seam() -> None:
    stage = Stage().push(interleaved(pictures(30, seconds=20), sounds(seconds=10, start_ms=START_MS + 10_000))).pause()
    assert stage.discontinuities == 0
    assert is_contiguous(stage.sounds(), tolerance=1_024)
    assert sum(frame.track is AUDIO for frame in stage.sounds()) >= 460


def test_late_sound_of_another_rate_makes_one_discontinuity_at_a_key_frame() -> None:
    late = sounds(seconds=10, start_ms=START_MS + 10_500, track=AUDIO_44100)
    stage = Stage().push(interleaved(pictures(30, seconds=20), late)).pause()
    assert stage.discontinuities == 1
    changed = next(segment for segment in stage.made if segment.opened.discontinuity)
    assert since_start_ms(changed.parts[0].start_us) == 12_000
    assert changed.opened.tracks.audio == AUDIO_44100
    assert changed.parts[0].video[0].is_sync


def test_sound_that_ceases_is_followed_by_silence_and_comes_back() -> None:
    heard = [f for f in sounds(seconds=30) if not 8 < media.seconds_of(f) - START_MS // 1_000 < 18]
    stage = Stage().push(interleaved(pictures(30, seconds=30), heard)).pause()
    assert stage.discontinuities == 0
    assert is_contiguous(stage.sounds(), tolerance=1_024)


def test_sound_nobody_has_silence_for_gives_way_to_the_stand_in() -> None:
    surround = media.replace(AUDIO, config=bytes.fromhex("11b0"), channel_count=6)
    heard = [f for f in sounds(seconds=30, track=surround) if media.seconds_of(f) - START_MS // 1_000 < 8]
    stage = Stage().push(interleaved(pictures(30, seconds=30), heard)).pause()
    assert stage.discontinuities == 1
    assert stage.made[-1].opened.tracks.audio is STAND_IN


def test_a_changed_sound_configuration_makes_one_discontinuity() -> None:
    first = sounds(seconds=9)
    second = sounds(seconds=9, start_ms=START_MS + 9_000, track=AUDIO_44100)
    stage = Stage().push(interleaved(pictures(30, seconds=18), first, second)).pause()
    assert stage.discontinuities == 1
    assert stage.made[-1].opened.tracks.audio == AUDIO_44100


# --- pictures that change, freeze, cease ---


def test_a_changed_picture_size_makes_one_discontinuity_and_loses_no_picture() -> None:
    first = pictures(30, seconds=7)
    second = pictures(25, seconds=7, gop=50, start_ms=START_MS + 7_000, track=media.OTHER_VIDEO)
    stage = Stage().push(interleaved(first, second, sounds(seconds=14))).pause()
    assert stage.discontinuities == 1
    assert stage.pictures() == first + second
    assert is_contiguous(stage.sounds())
    assert short_parts(stage) == []


def test_pictures_of_a_changed_configuration_wait_for_their_key_frame() -> None:
    first = pictures(30, seconds=7)
    second = pictures(30, seconds=7, start_ms=START_MS + 7_000, track=media.OTHER_VIDEO, keys=lambda i: i % 60 == 30)
    stage = Stage().push(interleaved(first, second, sounds(seconds=14))).pause()
    assert stage.discontinuities == 1
    assert stage.segmenter.dropped_frames == 30
    assert stage.pictures() == first + second[30:]


def test_repeated_headers_change_nothing() -> None:
    frames = [
        frame._replace(track=media.replace(frame.track)) if index % 40 == 0 else frame
        for index, frame in enumerate(programme(seconds=12))
    ]
    assert all(frame.track in (VIDEO, AUDIO) for frame in frames)
    stage = Stage().push(frames).pause()
    assert stage.discontinuities == 0
    assert len(stage.pictures()) + len(stage.sounds()) == len(frames)


@pytest.mark.parametrize("frozen_ms", [300, 700, 1_500])
def test_pictures_that_freeze_for_a_moment_stay_in_step_with_the_sound(frozen_ms: int) -> None:
    times = [index * 33.333 for index in range(400)]
    video = pictures_at([at + (frozen_ms if at > 5_200 else 0) for at in times], keys=range(0, 400, 60))
    stage = Stage().push(interleaved(video, sounds(seconds=13.3 + frozen_ms / 1_000))).pause()
    assert stage.discontinuities == 0
    assert stage.pictures() == video
    assert is_contiguous(stage.sounds())
    assert short_parts(stage) == []


def test_a_moment_without_anything_is_a_frozen_picture_in_silence() -> None:
    frames = programme(seconds=12)
    at = START_MS // 1_000 + 5.2
    frames = [frame if media.seconds_of(frame) < at else shifted([frame], 1_200)[0] for frame in frames]
    stage = Stage().push(frames).pause()
    assert stage.discontinuities == 0
    assert is_contiguous(stage.sounds(), tolerance=1_024)
    assert len(stage.pictures()) == 360


def test_pictures_away_for_long_come_back_after_a_discontinuity() -> None:
    start = START_MS // 1_000
    video = [f for f in pictures(30, seconds=30) if not 8 < media.seconds_of(f) - start < 18]
    stage = Stage().push(interleaved(video, sounds(seconds=30))).pause()
    assert stage.discontinuities == 1
    assert stage.pictures() == video


def test_a_programme_goes_on_as_sound_alone_when_pictures_stay_away() -> None:
    start = START_MS // 1_000
    video = [f for f in pictures(30, seconds=60) if not 8 < media.seconds_of(f) - start < 48]
    stage = Stage().push(interleaved(video, sounds(seconds=60))).pause()
    kinds = [segment.opened.tracks.video is not None for segment in stage.made]
    assert kinds == sorted(kinds[: kinds.index(False)], reverse=True) + [False] * kinds.count(False) + [True] * (
        len(kinds) - kinds.index(False) - kinds.count(False)
    )
    assert kinds[-1]
    assert stage.discontinuities == 2
    assert is_contiguous(stage.sounds())


# --- pauses ---


def test_a_pause_gives_viewers_everything_there_was() -> None:
    frames = programme(seconds=7.3)
    stage = Stage().push(frames).pause()
    assert len(stage.pictures()) + len(stage.sounds()) == len(frames)
    assert stage.made[-1].closed


def test_a_pause_before_the_decision_still_gives_viewers_everything() -> None:
    frames = programme(seconds=1.2)
    stage = Stage().push(frames).pause()
    assert len(stage.pictures()) + len(stage.sounds()) == len(frames)


def test_a_pause_of_nothing_is_nothing() -> None:
    assert Stage().pause().pause().segments == []


def test_an_encoder_that_takes_over_at_once_makes_no_discontinuity() -> None:
    stage = Stage().push(programme(seconds=7.3)).pause()
    stage.push(programme(seconds=6, start_ms=START_MS + 7_400)).pause()
    assert stage.discontinuities == 0
    assert stage.epoch is not None


def test_an_encoder_that_returns_after_a_while_makes_one_discontinuity() -> None:
    stage = Stage().push(programme(seconds=7.3)).pause()
    stage.push(programme(seconds=6, start_ms=START_MS + 15_000)).pause()
    assert stage.discontinuities == 1
    returned = next(segment for segment in stage.made if segment.opened.discontinuity)
    assert since_start_ms(returned.parts[0].start_us) == 15_000


def test_an_encoder_that_returns_without_sound_keeps_the_configuration() -> None:
    stage = Stage().push(programme(seconds=7)).pause()
    stage.push(pictures(30, seconds=6, start_ms=START_MS + 7_100)).pause()
    assert stage.discontinuities == 0
    assert stage.made[-1].opened.tracks.audio == AUDIO


def test_an_encoder_whose_pictures_came_late_returns_without_a_wait() -> None:
    late = pictures(30, seconds=8, start_ms=START_MS + 4_000)
    stage = Stage().push(interleaved(late, sounds(seconds=12))).pause()
    assert stage.discontinuities == 1
    stage.push(programme(seconds=0.7, start_ms=START_MS + 12_100))
    assert since_start_ms(stage.parts[-1].start_us) == 12_100
    assert stage.discontinuities == 1


def test_an_encoder_that_returns_with_another_rate_keeps_the_promises() -> None:
    stage = Stage().push(programme(seconds=7, fps=25, gop=50)).pause()
    stage.push(programme(seconds=20, fps=Fraction(60000, 1001), gop=120, start_ms=START_MS + 9_000)).pause()
    assert stage.epoch is not None
    assert stage.epoch.part_target_ms == 521
    assert short_parts(stage) == []


def test_pictures_before_the_first_key_frame_are_left_out() -> None:
    video = pictures(30, seconds=8, keys=lambda index: index % 60 == 20)
    stage = Stage().push(interleaved(video, sounds(seconds=8))).pause()
    assert stage.pictures() == video[20:]
    assert stage.made[0].opened.tracks.video is not None


# --- hostile input ---


def test_a_clock_that_hardly_moves_does_not_fill_memory() -> None:
    stage = Stage().push(programme(seconds=5))
    base = START_MS * 90 + 5 * 90_000
    stage.push(EncodedFrame(VIDEO, base + index, 0, False, b"x") for index in range(10_000))
    stage.push(EncodedFrame(AUDIO, START_MS * 48 + 240_000 + index, 0, True, b"x") for index in range(10_000))
    assert stage.segmenter._cutter is not None
    assert len(stage.segmenter._cutter.pictures) <= 2_400
    assert len(stage.segmenter._cutter.sounds) <= 2_400


def test_sound_that_waits_for_a_key_frame_is_bounded() -> None:
    stage = Stage().push(programme(seconds=5))
    stage.push(sounds(seconds=120, start_ms=START_MS + 5_000, track=AUDIO_44100))
    assert len(stage.segmenter._held) <= 512
