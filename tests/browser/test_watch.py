"""The watch page in a real browser, with the clock in the picture as witness."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.desk import Person
from tests.browser.screen import watching
from tests.interop.live import wait_on_air, wait_playlist
from tests.support.encoder import clip, pushing
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get

# Wide enough for a busy machine; how fast it is, loadtest says.
STALE_MS = 15_000
HAS_MORE = "document.querySelector('video').readyState > HTMLMediaElement.HAVE_CURRENT_DATA"
# The longest time without pictures. A decoder that a busy machine keeps waiting for a moment is no player run dry.
MEASURE_WAITING = """() => {
  window.__waitedMs = 0;
  const video = document.querySelector('video');
  video.addEventListener('waiting', () => {
    const from = performance.now();
    video.addEventListener('playing', () => {
      window.__waitedMs = Math.max(window.__waitedMs, performance.now() - from);
    }, { once: true });
  });
}"""


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A demo server with its synthetic programme on air."""
    with start_server(tmp_path_factory.mktemp("watch"), args=["--demo"]) as server:
        wait_on_air(server.http_url, seconds=30)
        wait_playlist(server.http_url, segments=2)
        yield server


@pytest.fixture(scope="module")
def host(programme: RunningServer) -> Person:
    return Person(programme.http_url, "host")


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


def test_viewer_of_hls_goes_on_when_the_encoder_dies_and_returns(
    programme: RunningServer, host: Person, browser: Browser
) -> None:
    address = f"{programme.rtmp_url}/{host.make_room('mortal')}"
    with pushing(address, clip()) as encoder:
        wait_on_air(programme.http_url, "mortal")
        wait_playlist(programme.http_url, "mortal", segments=2)
        with watching(browser, f"{programme.http_url}/watch/mortal?mode=hls") as screen:
            screen.wait_for_position(1)
            encoder.kill()
            eventually(lambda: screen.page.evaluate(HAS_MORE), lambda has: not has, what="the player ran dry")
            with pushing(address, clip()):
                screen.wait_for_position(screen.position_s() + 2)


def test_key_frames_250_apart_play_on_without_a_stall(programme: RunningServer, host: Person, browser: Browser) -> None:
    """OBS's own default: with long segments from the start, the player must not run dry between them."""
    address = f"{programme.rtmp_url}/{host.make_room('sparse')}"
    with pushing(address, clip(seconds=20, fps="50", gop=250, size="160x90")):
        wait_on_air(programme.http_url, "sparse")
        with watching(browser, f"{programme.http_url}/watch/sparse?mode=hls") as screen:
            screen.wait_for_position(0.5)
            screen.page.evaluate(MEASURE_WAITING)
            screen.wait_for_position(screen.position_s() + 7)
            assert screen.page.evaluate("window.__waitedMs") < 500
    playlist = get(f"{programme.http_url}/live/sparse/source/media.m3u8").text
    assert "#EXT-X-TARGETDURATION:10" in playlist


def test_players_come_back_by_themselves_when_the_server_does(programme: RunningServer, browser: Browser) -> None:
    """The last of this module: it ends the server that the others use."""
    watch = f"{programme.http_url}/watch/demo?mode="
    with watching(browser, f"{watch}flv", height=400) as flv, watching(browser, f"{watch}hls", height=400) as hls:
        for screen in (flv, hls):
            screen.wait_for_picture()
        programme.terminate()
        assert programme.wait(10) == 0
        gone_ms = int(time.time() * 1000)
        with start_server(programme.folder, args=["--demo"], like=programme):
            for screen in (flv, hls):
                screen.wait_for_picture(newer_than_ms=gone_ms, seconds=45)
