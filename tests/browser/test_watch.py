"""The watch page in a real browser, with the clock in the picture as witness."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.screen import watching
from tests.interop.live import wait_on_air, wait_playlist
from tests.support.encoder import clip, pushing
from tests.support.server import RunningServer, start_server

# Wide enough for a busy machine; how fast it is, loadtest says.
STALE_MS = 15_000


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A demo server with its synthetic programme on air."""
    with start_server(tmp_path_factory.mktemp("watch"), args=["--demo"]) as server:
        wait_on_air(server.http_url, seconds=30)
        wait_playlist(server.http_url, segments=2)
        yield server


@pytest.mark.parametrize("mode", ["flv", "hls"])
def test_page_plays_the_programme_live(programme: RunningServer, browser: Browser, mode: str) -> None:
    with watching(browser, f"{programme.http_url}/watch/demo?mode={mode}") as screen:
        first = screen.wait_for_picture()
        assert abs(time.time() * 1000 - first) < STALE_MS
        later = screen.wait_for_picture(newer_than_ms=first + 2_000)
        assert abs(time.time() * 1000 - later) < STALE_MS
        assert screen.mode == mode


def test_page_on_a_phone_plays_by_itself(programme: RunningServer, browser: Browser) -> None:
    with watching(browser, f"{programme.http_url}/watch/demo", width=390, height=844) as screen:
        first = screen.wait_for_picture()
        screen.wait_for_picture(newer_than_ms=first + 1_000)


@pytest.mark.parametrize("mode", ["flv", "hls"])
def test_players_come_back_by_themselves_when_the_server_does(tmp_path: Path, browser: Browser, mode: str) -> None:
    with start_server(tmp_path, args=["--demo"]) as first:
        wait_on_air(first.http_url, seconds=30)
        wait_playlist(first.http_url, segments=2)
        with watching(browser, f"{first.http_url}/watch/demo?mode={mode}") as screen:
            screen.wait_for_picture()
            first.terminate()
            assert first.wait(10) == 0
            gone_ms = int(time.time() * 1000)
            with start_server(tmp_path, args=["--demo"], like=first) as second:
                wait_on_air(second.http_url, seconds=30)
                screen.wait_for_picture(newer_than_ms=gone_ms, seconds=45)


def test_viewer_of_hls_goes_on_when_the_encoder_dies_and_returns(tmp_path: Path, browser: Browser) -> None:
    source = clip(seconds=30)
    with start_server(tmp_path) as server:
        address = f"{server.rtmp_url}/demo-key"
        with pushing(address, source) as encoder:
            wait_on_air(server.http_url)
            wait_playlist(server.http_url, segments=2)
            with watching(browser, f"{server.http_url}/watch/demo?mode=hls") as screen:
                screen.wait_for_position(1)
                encoder.kill()
                screen.page.wait_for_timeout(2_000)
                with pushing(address, source):
                    screen.wait_for_position(screen.position_s() + 4)


def test_studio_tells_the_host_that_the_stream_is_on_air_and_well(programme: RunningServer, browser: Browser) -> None:
    with watching(browser, f"{programme.http_url}/studio/demo") as screen:
        screen.page.get_by_role("heading", name="You are on air").wait_for(timeout=20_000)
        screen.page.get_by_text("h264 1280×720").wait_for(timeout=10_000)
        screen.page.get_by_text("All is well").wait_for(timeout=10_000)
