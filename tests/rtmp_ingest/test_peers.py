"""Encoders and players that are not ours, on real sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track, VideoTrack
from tests.rtmp_ingest.gates import KEY, FilmGate, RecordedPublication, house
from tests.rtmp_ingest.stage import CAPTURES, replay

PYAV_PUBLISHER = Path(__file__).with_name("pyav_publisher.py")


async def run(*command: str) -> tuple[int, str, str]:
    """A peer in its own process: exit code, output, complaints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def ffmpeg_push(url: str, *, b_frames: int, seconds: int = 3, extra: tuple[str, ...] = ()) -> list[str]:
    return [
        *("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin"),
        *("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=30:duration={seconds}"),
        *("-f", "lavfi", "-i", f"sine=440:sample_rate=44100:duration={seconds}"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-bf", str(b_frames), "-g", "30", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", *extra, "-f", "flv", url),
    ]


def pictures_of(publication: RecordedPublication, track_id: int = 0) -> list[EncodedFrame]:
    return [f for f in publication.frames if isinstance(f.track, VideoTrack) and f.track.track_id == track_id]


def by_codec(publication: RecordedPublication) -> Counter[str]:
    return Counter(str(frame.track.codec) for frame in publication.frames)


@pytest.mark.parametrize("b_frames", [0, 2])
async def test_ffmpeg_pushes_every_frame(b_frames: int) -> None:
    async with house() as at:
        code, _, err = await run(*ffmpeg_push(at.url(), b_frames=b_frames))
        assert code == 0, err
        publication = await at.gate.publication()
        await asyncio.wait_for(publication.closed.wait(), 30)
    assert publication.reasons == ["unpublish"]
    assert publication.counts == {}
    pictures = pictures_of(publication)
    assert len(pictures) == 90
    assert sum(frame.is_sync for frame in pictures) == 3
    assert (max(frame.cts for frame in pictures) > 0) == (b_frames > 0)
    shown = sorted(frame.dts + frame.cts for frame in pictures)
    assert abs(shown[-1] - shown[0] - 89 * 3000) <= 90, "a millisecond of rounding"
    assert abs(by_codec(publication)["aac"] - 3 * 44_100 / 1024) <= 2
    assert publication.tracks[0].codec_string.startswith("avc1.")


async def test_ffmpeg_is_told_why_it_may_not_publish() -> None:
    async with house() as at:
        code, _, err = await run(*ffmpeg_push(at.url("wrong-key"), b_frames=0))
        assert code != 0
        assert "No such stream key" in err


async def test_ffmpeg_splits_a_path_its_own_way_and_is_understood() -> None:
    async with house() as at:
        for name in (f"room?key={KEY}", f"{KEY}/"):
            code, _, err = await run(*ffmpeg_push(at.url(name), b_frames=0, seconds=1))
            assert code == 0, err
        assert [(request.app, request.name) for request in at.gate.requests] == [("live", "room"), ("live", KEY)]


async def test_ffmpeg_with_enhanced_codecs_announced_is_answered() -> None:
    """Debian's ffmpeg does not know the option; the one inside PyAV does."""
    async with house() as at:
        script = (
            "import av,sys\n"
            "options={'rtmp_enhanced_codecs':'hvc1,av01'}\n"
            "o=av.open(sys.argv[1],'w',format='flv',options=options)\n"
            "s=o.add_stream('libx264',rate=30); s.width,s.height,s.pix_fmt=320,180,'yuv420p'\n"
            "f=av.VideoFrame(320,180,'yuv420p'); o.mux(s.encode(f)); o.mux(s.encode(None)); o.close()\n"
        )
        code, _, err = await run(sys.executable, "-c", script, at.url())
        assert code == 0, err
        publication = await at.gate.publication()
        await asyncio.wait_for(publication.closed.wait(), 30)
        assert len(publication.frames) == 1


@pytest.mark.parametrize(
    ("video", "audio", "expected"),
    [
        ("libx265", "libopus", {"hevc": 40, "opus": 66}),
        ("libsvtav1", "aac", {"av1": 40, "aac": 63}),
    ],
)
async def test_ffmpegs_enhanced_rtmp_through_pyav(video: str, audio: str, expected: dict[str, int]) -> None:
    async with house() as at:
        code, _, err = await run(sys.executable, str(PYAV_PUBLISHER), at.url(), video, audio, "40")
        assert code == 0, err
        publication = await at.gate.publication()
        await asyncio.wait_for(publication.closed.wait(), 30)
    found = by_codec(publication)
    video_codec, audio_codec = expected
    assert found[video_codec] == expected[video_codec]
    assert abs(found[audio_codec] - expected[audio_codec]) <= 2
    pictures = pictures_of(publication)
    assert pictures[0].is_sync
    assert (pictures[0].track.width, pictures[0].track.height) == (320, 180)  # type: ignore[union-attr]
    assert publication.counts == {}


async def test_two_video_tracks_in_one_publication() -> None:
    async with house() as at:
        code, _, err = await run(sys.executable, str(PYAV_PUBLISHER), at.url(), "libx265+libsvtav1", "none", "30")
        assert code == 0, err
        publication = await at.gate.publication()
        await asyncio.wait_for(publication.closed.wait(), 30)
    assert [len(pictures_of(publication, track_id)) for track_id in (0, 1)] == [30, 30]
    assert {(track.track_id, str(track.codec)) for track in publication.tracks} == {(0, "hevc"), (1, "av1")}


def capture_film() -> FilmGate:
    played = replay([(CAPTURES / "ffmpeg-5.1.9-bframes.c2s.bin").read_bytes()])
    tracks: list[Track] = []
    for frame in played.frames:
        if frame.track not in tracks:
            tracks.append(frame.track)
    return FilmGate(tracks, played.frames)


async def test_ffprobe_plays_a_live_stream_to_its_end() -> None:
    film = capture_film()
    async with house(film=film) as at:
        code, out, err = await run(
            *("ffprobe", "-hide_banner", "-loglevel", "error", "-of", "json"),
            *("-show_entries", "packet=codec_type,pts_time,dts_time:stream=codec_name,width,height"),
            at.url("demo"),
        )
    assert code == 0, err
    probed = json.loads(out)
    assert [stream["codec_name"] for stream in probed["streams"]] == ["h264", "aac"]
    assert [probed["streams"][0][side] for side in ("width", "height")] == [320, 180]
    for kind in ("video", "audio"):
        packets = [packet for packet in probed["packets"] if packet["codec_type"] == kind]
        frames = [frame for frame in film.frames if frame.track.is_video == (kind == "video")]
        assert len(packets) == len(frames)
        for packet, frame in zip(packets, frames, strict=True):
            hz = frame.track.timescale_hz
            assert abs(float(packet["dts_time"]) - frame.dts / hz) <= 0.0011
            assert abs(float(packet["pts_time"]) - (frame.dts + frame.cts) / hz) <= 0.0011


async def test_ffmpeg_decodes_what_it_plays_without_a_complaint() -> None:
    film = capture_film()
    async with house(film=film) as at:
        code, _, err = await run(
            *("ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin", "-xerror"),
            *("-i", at.url("demo"), "-map", "0:v", "-map", "0:a", "-f", "null", "-"),
        )
    assert code == 0, err
    assert err == ""


async def test_a_player_of_a_room_that_is_not_on_air_ends_with_an_error() -> None:
    async with house() as at:
        code, _, err = await run("ffprobe", "-hide_banner", "-loglevel", "error", at.url("nowhere"))
        assert code != 0
        assert "There is no such room" in err
