"""The watch page through nginx, as viewers get it: HTTPS and HTTP/2."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.screen import watching
from tests.interop.live import wait_on_air, wait_playlist
from tests.support.nginx import Front, nginx_before
from tests.support.server import start_server

PROXIED = {"STREAMD_HTTP_BEHIND_PROXY": "true", "STREAMD_RTMP_BEHIND_PROXY": "true"}
PROTOCOLS = """() => [...new Set(performance.getEntriesByType('resource')
  .filter((entry) => entry.name.includes('/live/')).map((entry) => entry.nextHopProtocol))]"""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder, nginx = tmp_path_factory.mktemp("node"), tmp_path_factory.mktemp("nginx")
    with start_server(folder, args=["--demo"], env=PROXIED) as server, nginx_before(server, nginx) as front:
        wait_on_air(server.http_url, seconds=30)
        wait_playlist(server.http_url, segments=2)
        yield front


@pytest.mark.parametrize("mode", ["hls", "flv"])
def test_page_plays_live_by_https_and_http2(front: Front, browser: Browser, mode: str) -> None:
    with watching(browser, f"{front.https_url}/watch/demo?mode={mode}", ignores_certificate=True) as screen:
        first = screen.wait_for_picture()
        screen.wait_for_picture(newer_than_ms=first + 1_500)
        assert abs(time.time() * 1_000 - first) < 15_000
        assert screen.mode == mode
        if mode == "hls":
            assert screen.page.evaluate(PROTOCOLS) == ["h2"]
