"""Generators against real peers: nginx-rtmp takes our publishers and plays to our viewers, in real time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.hls_playlist import read_edge
from loadtest.peers import NginxRtmp, Streamd
from loadtest.processes import ChildFailedError, Generator
from streamd.ffmpeg import ClipSpec, clip_argv
from tests.support.web import eventually, get


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[NginxRtmp]:
    server = NginxRtmp(tmp_path / "nginx")
    yield server
    server.stop()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.flv"
    subprocess.run(clip_argv(path, ClipSpec(seconds=8, width=320, height=180, video_bps=300_000)), check=True)
    return path


def test_publishers_are_played_to_viewers_at_the_rate_of_the_clip(peer: NginxRtmp, clip: Path, tmp_path: Path) -> None:
    urls = [peer.publish_url(name) for name in ("one", "two", "three")]
    log = tmp_path / "generator.log"
    with Generator("publishers", {"urls": urls, "clip": str(clip), "loop_ms": 8_000}, log=log) as publishers:
        assert publishers.wait_ready() == {"connected": 3}
        job = {"kind": "rtmp", "urls": [peer.play_url(name) for name in ("one", "two", "three")]}
        with Generator("viewers", job, log=log) as viewers:
            viewers.wait_ready()
            time.sleep(4)
            seen = viewers.finish()
        sent = publishers.finish()
    assert seen["ended"] == sent["dropped"] == []
    clip_bps = clip.stat().st_size  # bytes of 8 s: bits a second
    assert clip_bps * 0.5 < seen["slowest_bps"] < clip_bps * 2
    assert sent["sent_bytes"] * 8 / sent["seconds"] / 3 == pytest.approx(clip_bps, rel=0.4)


def test_whip_publishers_send_the_clip_at_its_rate_and_are_on_air(clip: Path, tmp_path: Path) -> None:
    rooms = ["room-one", "room-two"]
    server = Streamd(tmp_path / "streamd", rooms=rooms)
    try:
        job = {
            "doors": [server.http_url(f"/whip/{room}") for room in rooms],
            "clip": str(clip),
            "loop_ms": 8_000,
        }
        with Generator("whip_publishers", job, log=tmp_path / "generator.log") as publishers:
            assert publishers.wait_ready()["connected"] == 2
            playlist = server.http_url("/live/room-two/source/media.m3u8")
            eventually(lambda: get(playlist).status, lambda status: status == 200, what="the second room's playlist")
            sent = publishers.finish()
    finally:
        server.stop()
    assert sent["sent_bytes"] > 0


def test_a_generator_that_cannot_connect_says_why(tmp_path: Path) -> None:
    job = {"kind": "rtmp", "urls": ["rtmp://192.0.2.1/live/x"]}
    with (
        Generator("viewers", job, log=tmp_path / "generator.log") as viewers,
        pytest.raises(ChildFailedError, match="loopback only"),
    ):
        viewers.wait_ready()


@pytest.mark.parametrize(
    ("tail", "ask_next", "last_part"),
    [
        ("#EXTINF:2.0,\nseg-7.m4s\n", (8, 0), "part-7.1.m4s"),
        ('#EXTINF:2.0,\nseg-7.m4s\n#EXT-X-PART:DURATION=0.5,URI="part-8.0.m4s"\n', (8, 1), "part-8.0.m4s"),
    ],
)
def test_the_edge_of_a_playlist_is_found(tail: str, ask_next: tuple[int, int], last_part: str) -> None:
    playlist = (
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:4\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:2.0,\nseg-6.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T12:00:00.000Z\n"
        '#EXT-X-PART:DURATION=1.0,URI="part-7.0.m4s",INDEPENDENT=YES\n#EXT-X-PART:DURATION=1.0,URI="part-7.1.m4s"\n'
    )
    edge = read_edge(playlist + tail)
    assert (edge.ask_next, edge.last_part) == (ask_next, last_part)
