"""A browser's camera and microphone by WHIP to a real server; real readers read what comes out."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.screen import watching
from tests.interop.live import stream, wait_on_air, wait_playlist
from tests.support.encoder import clip, decode_errors, probe, pushing
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get

PAGE = (Path(__file__).parents[1] / "support" / "whip_page.js").read_text(encoding="utf-8")
FAKE_DEVICES = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
# How many of 40 pictures differ from the one before, and which codecs they came in.
MOVING = """
import av, sys
with av.open(sys.argv[1], timeout=20) as container:
    video, audio = container.streams.video[0], container.streams.audio[0]
    before, moved, count = None, 0, 0
    for frame in container.decode(video):
        grey = bytes(frame.reformat(format="gray").planes[0])
        moved += before is not None and grey != before
        before, count = grey, count + 1
        if count == 40:
            break
    print(video.codec_context.name, audio.codec_context.name, video.width, video.height, moved)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS + FAKE_DEVICES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with start_server(tmp_path_factory.mktemp("whip")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server.http_url}/")
    yield page
    context.close()


def publish(page: Page, server: RunningServer, room: dict[str, Any], **wishes: object) -> dict[str, Any]:
    given = {"url": f"{server.http_url}/whip/{room['room']}", "key": room["stream_key"], "width": 640, "height": 360}
    told: dict[str, Any] = page.evaluate(PAGE, {**given, **wishes})
    return told


def test_camera_and_microphone_come_out_as_moving_hls_and_flv(server: RunningServer, page: Page) -> None:
    room = server.create_room("camera")
    told = publish(page, server, room)
    assert (told["status"], told["state"]) == (201, "connected")
    assert told["connectedMs"] < 5_000  # usually 100: the machine may be busy
    health = wait_on_air(server.http_url, "camera")
    assert health["protocol"] == "whip"
    # Readers begin three segments before the end: not in the first second, in which a busy browser's clocks may part.
    wait_playlist(server.http_url, "camera", segments=5)
    for address in (f"{server.http_url}/live/camera/index.m3u8", f"{server.http_url}/live/camera.flv"):
        streams = probe(address)
        assert (streams["video"]["codec_name"], streams["audio"]["codec_name"]) == ("h264", "aac")
        assert decode_errors(address) == ""
        seen = subprocess.run([sys.executable, "-c", MOVING, address], capture_output=True, text=True, timeout=60)
        assert seen.returncode == 0, seen.stderr
        video, audio, width, height, moved = seen.stdout.split()
        assert (video, audio, width, height) == ("h264", "aac", "640", "360")
        assert int(moved) > 20
    deleted = page.evaluate("async url => (await fetch(url, {method: 'DELETE'})).status", told["location"])
    assert deleted == 200
    eventually(lambda: stream(server.http_url, "camera"), lambda s: not s["on_air"], what="off air")


@pytest.mark.parametrize("mode", ["flv", "hls"])
def test_another_browser_watches_the_camera_move(
    server: RunningServer, page: Page, browser: Browser, mode: str
) -> None:
    room = server.create_room(f"seen-by-{mode}")
    assert publish(page, server, room)["status"] == 201
    wait_on_air(server.http_url, room["room"])
    wait_playlist(server.http_url, room["room"], segments=2)
    with watching(browser, f"{server.http_url}/watch/{room['room']}?mode={mode}") as screen:
        screen.wait_for_position(screen.position_s() + 2)
        looks: set[bytes] = set()
        for _ in range(60):  # on a busy machine most of them may show one picture
            looks.add(screen.page.locator("video").screenshot())
            if len(looks) > 3:
                break
            screen.page.wait_for_timeout(200)
        assert len(looks) > 3
        assert screen.mode == mode


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
def test_a_browser_that_insists_on_what_players_cannot_decode_is_told_so(
    server: RunningServer, page: Page, codec: str
) -> None:
    room = server.create_room(f"refused-{codec.lower()}")
    told = publish(page, server, room, codec=codec)
    assert told["status"] == 422
    assert "no_common_video_codec" in told["text"]
    assert codec in told["text"]


def test_the_same_key_by_rtmp_and_whip_is_one_place(server: RunningServer, page: Page) -> None:
    room = server.create_room("takeover")
    with pushing(f"{server.rtmp_url}/{room['stream_key']}", clip()):
        wait_on_air(server.http_url, "takeover")
        assert stream(server.http_url, "takeover")["protocol"] == "rtmp"
        assert publish(page, server, room)["state"] == "connected"
        eventually(lambda: stream(server.http_url, "takeover")["protocol"], lambda p: p == "whip", what="by WHIP")
    with pushing(f"{server.rtmp_url}/{room['stream_key']}", clip()):
        eventually(lambda: stream(server.http_url, "takeover")["protocol"], lambda p: p == "rtmp", what="by RTMP")
        ended = "() => ['closed', 'failed', 'disconnected'].includes(window.__peer.connectionState) || null"
        eventually(lambda: page.evaluate(ended), bool, what="the browser was told")


def test_a_page_that_goes_away_is_off_air_at_once(server: RunningServer, page: Page) -> None:
    room = server.create_room("gone")
    assert publish(page, server, room)["status"] == 201
    wait_on_air(server.http_url, "gone")
    page.evaluate("() => window.__peer.close()")
    started = time.monotonic()
    eventually(lambda: stream(server.http_url, "gone"), lambda s: not s["on_air"], what="off air")
    assert time.monotonic() - started < 5


def test_sessions_are_counted(server: RunningServer, page: Page) -> None:
    room = server.create_room("counted")
    assert publish(page, server, room)["status"] == 201
    wait_on_air(server.http_url, "counted")
    figures = get(f"{server.http_url}/metrics").text
    assert "streamd_whip_sessions" in figures
    assert 'streamd_publications_total{protocol="whip"}' in figures
