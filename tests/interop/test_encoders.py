"""Real encoders push to a real server; real readers read what comes out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.live import playlist, stream, wait_on_air, wait_playlist
from tests.support.certificates import self_signed
from tests.support.encoder import clip, decode_errors, probe, pushing, pushing_enhanced
from tests.support.ports import free_port
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with start_server(tmp_path_factory.mktemp("encoders"), args=["--demo", "--no-programme"]) as running:
        yield running


@pytest.fixture
def room(server: RunningServer, request: pytest.FixtureRequest) -> dict[str, str]:
    """A room of the test's own: what an earlier programme left in the window is not in its playlists."""
    slug = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[-40:].strip("-")
    made: dict[str, str] = server.create_room(slug)
    return made


PLAY = """
import av, sys
with av.open(sys.argv[1], timeout=20) as container:
    video, audio = container.streams.video[0], container.streams.audio[0]
    pictures = 0
    for _ in container.decode(video):
        pictures += 1
        if pictures == 25:
            break
    print(video.codec_context.name, audio.codec_context.name, video.width, video.height, pictures)
"""


@pytest.mark.parametrize("b_frames", [0, 2])
def test_ffmpeg_push_comes_out_clean_as_hls_flv_and_rtmp(
    server: RunningServer, room: dict[str, str], b_frames: int
) -> None:
    name = room["room"]
    with pushing(f"{server.rtmp_url}/{room['stream_key']}", clip(b_frames=b_frames)):
        wait_on_air(server.http_url, name)
        wait_playlist(server.http_url, name, segments=2)
        addresses = [
            f"{server.http_url}/live/{name}/index.m3u8",
            f"{server.http_url}/live/{name}.flv",
            f"{server.rtmp_url}/{name}",
        ]
        for address in addresses:
            seen = probe(address, seconds=2)
            assert (seen["video"]["codec_name"], seen["audio"]["codec_name"]) == ("h264", "aac"), address
            assert (seen["video"]["width"], seen["video"]["height"]) == ("320", "180")
            assert int(seen["video"]["nb_read_packets"]) > 30, address
            assert int(seen["audio"]["nb_read_packets"]) > 45, address
            assert decode_errors(address, seconds=2) == "", address
        health = stream(server.http_url, name)
        assert health["video"]["b_frames"] is (b_frames > 0)
        assert 29 < health["video"]["fps"] < 31


@pytest.mark.parametrize(
    ("video", "audio", "codecs"),
    [("libx265", "aac", ("hevc", "aac")), ("libsvtav1", "libopus", ("av1", "opus"))],
)
def test_enhanced_rtmp_goes_on_air_with_its_codecs(
    server: RunningServer, room: dict[str, str], video: str, audio: str, codecs: tuple[str, str]
) -> None:
    name = room["room"]
    with pushing_enhanced(f"{server.rtmp_url}/{room['stream_key']}", video=video, audio=audio):
        wait_playlist(server.http_url, name, segments=2)
        health = stream(server.http_url, name)
        assert (health["video"]["codec"], health["audio"]["codec"]) == codecs
        assert (health["video"]["width"], health["video"]["height"]) == (320, 180)
        for address in (f"{server.http_url}/live/{name}/index.m3u8", f"{server.http_url}/live/{name}.flv"):
            # Debian's ffprobe does not read Enhanced RTMP in FLV: PyAV does, in a process of its own.

            seen = subprocess.run(
                [sys.executable, "-c", PLAY, address], capture_output=True, text=True, timeout=40, check=False
            )
            assert seen.returncode == 0, seen.stderr
            assert seen.stdout.split()[2:] == ["320", "180", "25"], (address, seen.stdout)
            assert codecs[0].replace("av1", "dav1d")[:4] in seen.stdout, seen.stdout


def test_wrong_key_is_refused_and_nothing_goes_on_air(server: RunningServer, room: dict[str, str]) -> None:
    name = room["room"]
    with pushing(f"{server.rtmp_url}/not-the-key", clip()) as encoder:
        assert encoder.wait(30) != 0
    assert not stream(server.http_url, name)["on_air"]


def test_second_encoder_with_the_key_takes_over_and_numbers_go_on(server: RunningServer, room: dict[str, str]) -> None:
    name = room["room"]
    source = clip()
    with pushing(f"{server.rtmp_url}/{room['stream_key']}", source) as first:
        wait_on_air(server.http_url, name)
        before = wait_playlist(server.http_url, name, segments=2)
        with pushing(f"{server.rtmp_url}/{room['stream_key']}", source):
            assert first.wait(30) is not None  # the zombie's connection was closed
            after = eventually(
                lambda: playlist(server.http_url, name),
                lambda p: p is not None and p.last_msn >= before.last_msn + 2,
                what="segments after the takeover",
            )
            assert after is not None
            assert after.frozen_tags == before.frozen_tags
            assert len(set(after.maps)) == 1
            assert after.discontinuity_sequence == before.discontinuity_sequence
            assert "#EXT-X-DISCONTINUITY\n" not in after.text


def test_encoder_killed_and_back_finds_its_audience_where_it_left_it(
    server: RunningServer, room: dict[str, str]
) -> None:
    name = room["room"]
    source = clip()
    with pushing(f"{server.rtmp_url}/{room['stream_key']}", source) as encoder:
        wait_on_air(server.http_url, name)
        before = wait_playlist(server.http_url, name, segments=2)
        encoder.kill()
    paused = eventually(lambda: stream(server.http_url, name), lambda s: not s["on_air"], what="paused")
    assert paused["state"] == "paused"
    assert playlist(server.http_url, name) is not None, "the playlist is kept through the grace time"
    with pushing(f"{server.rtmp_url}/{room['stream_key']}", source):
        wait_on_air(server.http_url, name, seconds=3)
        after = eventually(
            lambda: playlist(server.http_url, name),
            lambda p: p is not None and p.last_msn >= before.last_msn + 2,
            what="segments after the return",
        )
        assert after is not None
        assert after.frozen_tags == before.frozen_tags
        assert set(after.maps) == set(before.maps)


def test_audio_only_and_video_only_are_programmes_too(server: RunningServer, room: dict[str, str]) -> None:
    name = room["room"]
    for audio, video in ((True, False), (False, True)):
        with pushing(f"{server.rtmp_url}/{room['stream_key']}", clip(audio=audio, video=video)):
            wait_on_air(server.http_url, name)
            wait_playlist(server.http_url, name, segments=2, seconds=40)
            assert set(probe(f"{server.http_url}/live/{name}.flv")) == ({"audio"} if audio else {"video"})
            # In HLS silence stands in for sound that does not come: a track that joined later would end hls.js.
            heard = {"audio"} if audio else {"audio", "video"}
            assert set(probe(f"{server.http_url}/live/{name}/index.m3u8")) == heard
        server.end_programme(name)


def test_ffmpeg_pushes_and_pulls_by_rtmps(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    port = free_port()
    settings = {
        "STREAMD_RTMPS_PORT": str(port),
        "STREAMD_RTMPS_CERT": str(certificate),
        "STREAMD_RTMPS_KEY": str(key),
    }
    with start_server(tmp_path, env=settings) as secured:
        address = f"rtmps://127.0.0.1:{port}/live"
        with pushing(f"{address}/demo-key", clip()):
            wait_on_air(secured.http_url)
            wait_playlist(secured.http_url, segments=2)
            for seen in (probe(f"{address}/demo", seconds=2), probe(f"{secured.http_url}/live/demo.flv", seconds=2)):
                assert (seen["video"]["codec_name"], seen["audio"]["codec_name"]) == ("h264", "aac")


def test_obs_default_keyframe_interval_is_told_to_the_host(server: RunningServer, room: dict[str, str]) -> None:
    name = room["room"]
    with pushing(f"{server.rtmp_url}/{room['stream_key']}", clip(seconds=30, gop=250, size="160x90")):
        wait_on_air(server.http_url, name)
        # On air at once: parts are listed long before the second key frame, 8.3 s in.
        eventually(
            lambda: playlist(server.http_url, name), lambda p: p is not None and "#EXT-X-PART:" in p.text, seconds=5
        )
        health = eventually(
            lambda: stream(server.http_url, name), lambda s: bool(s["warnings"]), seconds=25, what="a warning"
        )
        text = " ".join(str(warning) for warning in health["warnings"])
        assert "2 s" in text
        answer = get(f"{server.http_url}/live/{name}/source/media.m3u8")
        assert "#EXT-X-TARGETDURATION:10" in answer.text
