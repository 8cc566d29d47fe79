"""Lip sync through WHIP: Chromium publishes a flash and a beep made at the same moment, the HLS output is decoded.

What the browser itself adds stands inside the figures: a canvas is painted and captured up to two frames after the
sound it belongs to was rendered.
"""

from __future__ import annotations

import io
import statistics
from array import array
from collections.abc import Iterator

import av
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.publishing import publish
from tests.interop.live import MediaPlaylist, wait_on_air, wait_playlist
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get

APART_MS = 60
TRIES = 3  # a browser that is not given its time draws late: what streamd gets wrong, it gets wrong each time


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    # Segments of a second: as many of them hold as many flashes in half the time.
    with start_server(tmp_path_factory.mktemp("lipsync"), env={"STREAMD_HLS_SEGMENT_MS": "1000"}) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def programme(server: RunningServer, room: str, found: MediaPlaylist) -> io.BytesIO:
    """The window of a playlist as one fragmented MP4."""
    folder = f"{server.http_url}/live/{room}/source/"
    init = found.maps[-1].split('"')[1]
    return io.BytesIO(b"".join(get(folder + name).body for name in (init, *found.segments)))


def flashes_and_beeps(media: io.BytesIO) -> tuple[list[float], list[float]]:
    """When the picture turns white and when the tone begins, in seconds of the programme."""
    flashes: list[float] = []
    beeps: list[float] = []
    with av.open(media) as container:
        was_lit, silent_for = True, 0
        for frame in container.decode(container.streams.video[0], container.streams.audio[0]):
            assert frame.pts is not None
            assert frame.time_base is not None
            at = float(frame.pts * frame.time_base)
            if isinstance(frame, av.VideoFrame):
                plane = frame.planes[0]
                is_lit = memoryview(plane)[frame.height // 2 * plane.line_size + frame.width // 2] > 128
                if is_lit and not was_lit:
                    flashes.append(at)
                was_lit = is_lit
                continue
            for index, level in enumerate(array("f", bytes(frame.planes[0])[: frame.samples * 4])):
                if abs(level) < 0.1:
                    silent_for += 1
                    continue
                if silent_for > 10_000:
                    beeps.append(at + index / frame.sample_rate)
                silent_for = 0
    return flashes, beeps


def measure(server: RunningServer, room: str) -> list[float]:
    """How long after each flash of the newest segments its beep begins, in milliseconds."""
    before_msn = wait_playlist(server.http_url, room).last_msn
    found = eventually(
        lambda: wait_playlist(server.http_url, room, segments=7, seconds=40),
        lambda found: found.last_msn >= before_msn + 7,
        seconds=30,
        what="seven segments more",
    )
    flashes, beeps = flashes_and_beeps(programme(server, room, found))
    if not beeps:
        return []
    return [(min(beeps, key=lambda beep: abs(beep - flash)) - flash) * 1_000 for flash in flashes[1:-1]]


@pytest.mark.parametrize("codec", ["H264", "AV1"])
def test_flash_and_beep_of_a_browser_come_out_together(server: RunningServer, page: Page, codec: str) -> None:
    room = server.create_room(f"lipsync-{codec.lower()}")
    publish(page, server, room, codec=codec)
    wait_on_air(server.http_url, room["room"])
    for _ in range(TRIES):
        apart_ms = measure(server, room["room"])
        if len(apart_ms) >= 4 and abs(statistics.median(apart_ms)) <= APART_MS:
            break
    assert len(apart_ms) >= 4, apart_ms
    median_ms = statistics.median(apart_ms)
    print(f"{codec}: from flash to beep {median_ms:.0f} ms, all {[round(each) for each in apart_ms]}")
    assert abs(median_ms) <= APART_MS, apart_ms
