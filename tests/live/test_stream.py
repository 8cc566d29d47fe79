"""One live stream: what goes on air, when, and what is known of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from streamd.live.stream import StreamState
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import VideoTrack
from tests.live.stage import AUDIO, VIDEO, PaperSink, Stage, frames_of


async def test_frames_reach_every_sink_on_the_timeline_of_the_stream() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.picture()
    encoder.sound()
    [sink] = stage.sinks
    assert sink.tracks == [VIDEO, AUDIO]
    video, audio = sink.frames
    assert video.dts == stage.clock.utc_ms() * 90
    assert audio.dts == stage.clock.utc_ms() * 48


async def test_payloads_are_passed_on_and_not_copied() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    payload = b"x" * 5_000
    encoder.picture(payload=payload)
    assert stage.sinks[0].frames[0].payload is payload
    assert stage.stream().gop.frames[0].payload is payload


async def test_pictures_before_the_first_key_frame_are_left_out_and_counted() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    for key in (False, False, True, False):
        encoder.picture(key=key)
    assert frames_of(stage.sinks[0]) == "Kv"
    assert stage.stream().repairs()["video_before_key_frame"] == 2


async def test_sound_does_not_wait_for_the_key_frame() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.sound()
    encoder.picture(key=False)
    encoder.sound()
    assert frames_of(stage.sinks[0]) == "aa"


async def test_repeated_configuration_changes_nothing_whichever_object_it_is() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.picture()
    version = stage.stream().tracks_version
    encoder.video = replace(VIDEO)
    assert encoder.video is not VIDEO
    encoder.announce()
    encoder.picture()
    assert frames_of(stage.sinks[0]) == "Kv"
    assert stage.sinks[0].tracks == [VIDEO, AUDIO]
    assert stage.stream().tracks_version == version
    assert len(stage.stream().gop.frames) == 2


async def test_changed_configuration_goes_on_air_with_its_key_frame_and_empties_the_cache() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.picture()
    encoder.video = replace(VIDEO, config=b"avcC-2", width=1920, height=1080)
    encoder.announce()
    assert stage.stream().gop.frames == []
    encoder.picture(key=False)
    encoder.sound()
    encoder.picture(key=True)
    assert frames_of(stage.sinks[0]) == "KaK"
    assert stage.sinks[0].tracks == [VIDEO, AUDIO, encoder.video]


async def test_frame_of_a_track_that_nobody_announced_announces_it() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.picture()
    assert stage.sinks[0].tracks == [VIDEO]


async def test_sound_that_appears_late_leaves_the_cached_pictures_alone() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(VIDEO)
    encoder.run(11_000, audio=False)
    cached = len(stage.stream().gop.frames)
    assert stage.stream().tracks() == (VIDEO,)
    encoder.announce(AUDIO)
    encoder.run(40)
    assert stage.stream().tracks() == (VIDEO, AUDIO)
    assert len(stage.stream().gop.frames) > cached


async def test_track_is_on_air_when_its_frames_flow_and_not_when_it_is_announced() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.picture()
    assert stage.stream().announced() == (VIDEO, AUDIO)
    assert stage.stream().tracks() == (VIDEO,)


async def test_tracks_are_believed_when_both_flow_or_after_a_while() -> None:
    stage = Stage()
    both, alone = await stage.encoder("both"), await stage.encoder("alone")
    assert not stage.stream("both").settled()
    both.picture()
    both.sound()
    alone.picture()
    assert stage.stream("both").settled()
    assert not stage.stream("alone").settled()
    stage.clock.advance(1_500)
    assert stage.stream("alone").settled()


async def test_sound_beside_pictures_whose_key_frame_is_awaited_is_not_believed_to_be_alone() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.sound()
    stage.clock.advance(5_000)
    assert not stage.stream().settled()
    stage.clock.advance(5_000)
    assert stage.stream().settled()


async def test_sound_that_ceases_is_noticed_and_its_return_as_well() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(2_000)
    encoder.run(4_000, audio=False)
    assert stage.stream().tracks() == (VIDEO, AUDIO)
    encoder.run(3_000, audio=False)
    assert stage.stream().tracks() == (VIDEO,)
    encoder.run(40)
    assert stage.stream().tracks() == (VIDEO, AUDIO)
    assert stage.sinks[0].tracks == [VIDEO, AUDIO]  # a sink is not told of the same configuration twice


async def test_screen_at_rest_keeps_its_place_for_half_a_minute() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(2_000)
    encoder.run(29_000, video=False)
    assert stage.stream().has_pictures
    encoder.run(3_000, video=False)
    assert not stage.stream().has_pictures
    # A picture that depends on those before is still good: nothing was lost between.
    encoder.picture(key=False)
    assert stage.stream().has_pictures
    assert frames_of(stage.sinks[0])[-1] == "v"


async def test_newcomers_to_sound_whose_pictures_ceased_start_within_the_last_second_or_two() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(2_000)
    encoder.run(120_000, video=False)
    cached = stage.stream().gop.frames
    assert 48 <= len(cached) <= 96
    assert not any(frame.track.is_video for frame in cached)


async def test_other_tracks_are_kept_and_counted_and_not_put_on_air() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    ladder = replace(VIDEO, track_id=1, width=640, height=360)
    encoder.announce(VIDEO, ladder)
    encoder.publication.push(EncodedFrame(ladder, 0, 0, True, b"12345"))
    assert frames_of(stage.sinks[0]) == ""
    extra = stage.stream().extra_tracks[True, 1]
    assert (extra.track, extra.frames, extra.bytes) == (ladder, 1, 5)


async def test_number_of_other_tracks_is_bounded() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    for number in range(1, 100):
        track = replace(VIDEO, track_id=number)
        encoder.announce(track)
        encoder.publication.push(EncodedFrame(track, 0, 0, True, b""))
    assert len(stage.stream().extra_tracks) == 16


async def test_words_and_hints_of_an_encoder_are_bounded() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    for number in range(1_000):
        encoder.publication.count(f"word_{number}")
        encoder.publication.hint({f"name_{number}": "x" * 10_000, "nested": {"no": 1}, "nan": float("nan")})
    stream = stage.stream()
    assert len(stream.counted) <= 65
    assert sum(stream.counted.values()) == 1_000
    assert len(stream.hints) == 48
    assert max(len(str(value)) for value in stream.hints.values()) == 200
    assert {"nested", "nan"}.isdisjoint(stream.hints)


async def test_timeline_goes_on_where_it_was_when_the_encoder_returns() -> None:
    stage = Stage()
    first = await stage.encoder()
    first.run(2_000)
    first.publication.close("peer_eof")
    stage.clock.advance(7_000)
    again = await stage.encoder()
    again.run(1_000)
    [sink] = stage.sinks
    pictures = [frame.dts for frame in sink.frames if frame.track.is_video]
    assert pictures == sorted(set(pictures))
    steps = [after - before for before, after in pairwise(pictures)]
    assert max(steps) // 90 >= 7_000
    assert stage.stream().origin_ms < pictures[0] // 90
    assert sink.turns == ["pause"]


async def test_video_of_a_returning_encoder_waits_for_a_key_frame() -> None:
    stage = Stage()
    (await stage.encoder()).run(100)
    again = await stage.encoder()
    before = len(stage.sinks[0].frames)
    again.picture(key=False)
    again.picture(key=True)
    assert frames_of(stage.sinks[0])[before:] == "K"


async def test_paused_stream_keeps_its_cache_and_an_ended_one_keeps_nothing() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(1_000)
    stream = stage.stream()
    encoder.publication.close("peer_eof")
    assert stream.state is StreamState.PAUSED
    assert stream.gop.frames
    stage.seconds(46)
    assert stream.state is StreamState.ENDED
    assert stream.gop.frames == []
    assert stage.sinks[0].turns == ["pause", "end"]


async def test_sink_attached_in_mid_stream_hears_of_the_tracks_first() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.run(100)
    late = PaperSink()
    stage.stream().attach(late)
    assert late.tracks == [VIDEO, AUDIO]
    encoder.picture()
    stage.stream().detach(late)
    encoder.picture()
    assert len(late.frames) == 1


async def test_sink_hears_of_a_revision_between_its_frames() -> None:
    stage = Stage()
    order: list[str] = []

    class Orderly(PaperSink):
        def on_track(self, track: object) -> None:
            assert isinstance(track, VideoTrack)
            order.append(f"track {track.width}")

        def on_frame(self, frame: EncodedFrame) -> None:
            assert isinstance(frame.track, VideoTrack)
            order.append(f"frame {frame.track.width}")

    encoder = await stage.encoder()
    stage.stream().attach(Orderly())
    encoder.picture()
    encoder.video = replace(VIDEO, width=640)
    encoder.picture(key=True)
    assert order == ["track 1280", "frame 1280", "track 640", "frame 640"]
