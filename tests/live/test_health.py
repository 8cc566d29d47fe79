"""What a host is told of an encoder."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from streamd.live.advice import Advice, Reading, advise
from streamd.live.health import StreamHealth
from streamd.media.frames import EncodedFrame
from tests.live.stage import AUDIO, VIDEO, PaperEncoder, Stage


def health(stage: Stage) -> StreamHealth:
    reading = stage.hub.health("demo")
    assert reading is not None
    return reading


def codes(remarks: tuple[Advice, ...]) -> list[str]:
    return [remark.code for remark in remarks]


async def healthy() -> tuple[Stage, PaperEncoder]:
    stage = Stage()
    encoder = await stage.encoder(encoder="obs-output module (libobs version 32.0.0)")
    encoder.announce()
    encoder.run(30_000)
    return stage, encoder


async def test_healthy_stream_is_described_and_nothing_is_remarked() -> None:
    stage, _ = await healthy()
    reading = health(stage)
    assert (reading.state, reading.on_air, reading.protocol) == ("on_air", True, "rtmp")
    assert reading.encoder.startswith("obs-output")
    assert reading.uptime_ms == 30_000
    assert reading.video is not None
    assert (reading.video.codec, reading.video.width, reading.video.height) == ("h264", 1280, 720)
    assert reading.video.fps == 25.0
    assert reading.video.bitrate_bps == pytest.approx(200_000, rel=0.01)
    assert reading.video.gop_ms == 2_000
    assert reading.video.b_frames is False
    assert reading.audio is not None
    assert (reading.audio.codec, reading.audio.sample_rate_hz, reading.audio.channel_count) == ("aac", 48_000, 2)
    assert reading.audio.bitrate_bps == pytest.approx(37_500, rel=0.01)
    assert reading.pace == pytest.approx(1.0, abs=0.005)
    assert reading.repairs == {}
    assert reading.warnings == ()


async def test_reading_is_ready_for_json() -> None:
    stage, encoder = await healthy()
    encoder.publication.hint({"videodatarate": 2_500.0, "encoder": "obs"})
    page = orjson.loads(orjson.dumps(health(stage).as_dict()))
    assert page["video"]["gop_ms"] == 2_000
    assert page["hints"] == {"videodatarate": 2_500.0, "encoder": "obs"}


async def test_room_without_a_stream_has_no_health() -> None:
    assert Stage().hub.health("demo") is None


async def test_key_frames_ten_seconds_apart_are_remarked_with_the_remedy() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.gop = 250
    encoder.run(25_000)
    [remark] = health(stage).warnings
    assert remark.code == "long_gop"
    assert remark.en == "key frames every 10 s: set the keyframe interval to 2 s"
    assert "2 秒" in remark.zh


async def test_group_of_pictures_that_runs_long_is_remarked_before_its_end() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.gop = 10_000
    encoder.run(3_000)
    reading = health(stage)
    assert reading.video is not None
    assert reading.video.gop_ms is None
    assert codes(reading.warnings) == []
    encoder.run(3_000)
    assert codes(health(stage).warnings) == ["long_gop"]


async def test_b_frames_are_noticed_by_their_composition_offsets() -> None:
    stage, encoder = await healthy()
    for number in range(250):
        stage.clock.advance(40)
        encoder.picture(cts=(3_600, 7_200)[number % 2])
        if number % 25 == 0:
            stage.hub.sweep()
    reading = health(stage)
    assert reading.video is not None
    assert reading.video.b_frames
    assert "b_frames" in codes(reading.warnings)


async def test_stream_that_never_had_sound_is_remarked_after_five_seconds() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.run(4_000, audio=False)
    assert codes(health(stage).warnings) == []
    encoder.run(3_000, audio=False)
    reading = health(stage)
    assert codes(reading.warnings) == ["no_audio"]
    assert reading.audio is not None
    assert reading.audio.flowing is False


async def test_pictures_that_cease_are_remarked_and_counted_in_seconds() -> None:
    stage, encoder = await healthy()
    encoder.run(12_000, video=False)
    [remark] = [remark for remark in health(stage).warnings if remark.code == "no_video"]
    assert remark.en.startswith("no picture for 12 s")


async def test_stream_that_comes_slower_than_it_plays_is_starved() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    for _ in range(15):
        encoder.run(800)
        stage.clock.advance(200)
        stage.hub.sweep()
    reading = health(stage)
    assert reading.pace == pytest.approx(0.8, abs=0.02)
    assert codes(reading.warnings)[0] == "bitrate_starved"
    assert reading.warnings[0].en.startswith("the upload is too slow: only 80 %")


async def test_encoder_that_drops_frames_is_starved_by_its_own_figures() -> None:
    stage, encoder = await healthy()
    encoder.publication.hint({"videodatarate": 2_500.0, "audiodatarate": 160.0, "framerate": 60.0})
    [remark] = health(stage).warnings
    assert remark.code == "bitrate_starved"
    assert "237 of 2660 kb/s and 25 of 60 frames/s" in remark.en


async def test_few_bits_alone_are_no_starvation() -> None:
    stage, encoder = await healthy()
    encoder.publication.hint({"videodatarate": 2_500.0, "framerate": 25.0})
    assert health(stage).warnings == ()


@pytest.mark.parametrize("nonsense", ["lots", "1e999", "nan", "", True, -5.0])
async def test_figures_that_are_no_figures_are_ignored(nonsense: object) -> None:
    stage, encoder = await healthy()
    encoder.publication.hint({"videodatarate": nonsense, "framerate": nonsense})
    assert health(stage).warnings == ()


async def test_frame_rate_that_swings_is_remarked() -> None:
    stage, encoder = await healthy()
    for second in range(12):
        for number in range(25):
            stage.clock.advance(40)
            if second % 2 and number % 3:
                encoder.pictures += 1
            else:
                encoder.picture(key=number == 0)
            encoder.packets += 1
        stage.hub.sweep()
    assert "fps_unstable" in codes(health(stage).warnings)


async def test_repaired_timestamps_are_named_and_remarked_while_they_are_recent() -> None:
    stage, encoder = await healthy()
    encoder.publication.push(EncodedFrame(VIDEO, 4_000 * 90_000, 0, False, b"from the future"))
    encoder.run(2_000)
    reading = health(stage)
    assert "timestamp_jump_forward" in reading.repairs
    assert "timestamps_repaired" in codes(reading.warnings)
    encoder.run(12_000)
    assert "timestamps_repaired" not in codes(health(stage).warnings)
    assert "timestamp_jump_forward" in health(stage).repairs


async def test_what_ingest_could_not_use_is_remarked() -> None:
    stage, encoder = await healthy()
    encoder.publication.count("unsupported_codec", 3)
    reading = health(stage)
    assert reading.repairs["unsupported_codec"] == 3
    assert codes(reading.warnings) == ["unsupported_track"]


async def test_tracks_beside_the_one_on_air_are_listed() -> None:
    stage, encoder = await healthy()
    ladder = replace(VIDEO, track_id=2, width=640)
    encoder.publication.push(EncodedFrame(ladder, 0, 0, True, b"12345"))
    [track] = health(stage).tracks
    assert (track.kind, track.track_id, track.codec, track.frames, track.bytes) == ("video", 2, "h264", 1, 5)


async def test_paused_stream_says_since_when_and_remarks_nothing() -> None:
    stage, encoder = await healthy()
    encoder.publication.close("peer_eof")
    stage.seconds(7)
    reading = health(stage)
    assert (reading.state, reading.on_air, reading.paused_ms) == ("paused", False, 7_000)
    assert reading.warnings == ()


async def test_returning_encoder_is_not_judged_by_the_time_it_was_away() -> None:
    stage, encoder = await healthy()
    encoder.publication.close("peer_eof")
    stage.seconds(20)
    again = await stage.encoder()
    again.announce()
    again.run(8_000)
    reading = health(stage)
    assert reading.warnings == ()
    assert reading.video is not None
    assert reading.video.fps == pytest.approx(25.0, abs=0.1)
    assert reading.pace == pytest.approx(1.0, abs=0.05)


async def test_audio_only_stream_is_paced_by_its_sound() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(AUDIO)
    encoder.run(12_000, video=False)
    reading = health(stage)
    assert reading.video is None
    assert reading.pace == pytest.approx(1.0, abs=0.01)


def test_every_remark_speaks_both_languages() -> None:
    worst = Reading(
        gop_ms=9_000,
        b_frames=True,
        silent_ms=9_000,
        blind_ms=9_000,
        pace=0.5,
        fps=10.0,
        fps_spread=12.0,
        bitrate_bps=1,
        mended_lately=4,
        unsupported=("unsupported_codec",),
    )
    remarks = advise(worst)
    assert len(remarks) == 8
    for remark in remarks:
        assert remark.en.isascii()
        assert any("\u4e00" <= character <= "\u9fff" for character in remark.zh)
        assert remark.level in ("warning", "info")
