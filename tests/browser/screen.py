"""A watch page in Chromium, and the clock that its picture shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

STRIP = (Path(__file__).parents[2] / "loadtest" / "strip.js").read_text(encoding="utf-8")
STRIP += "window.stripReadVideo = stripReadVideo;"  # Playwright wraps what it injects in a function
READ_CLOCK = """() => {
  const video = document.querySelector('video');
  if (!video || !video.videoWidth) return null;
  window.__canvas ??= document.createElement('canvas');
  return stripReadVideo(video, window.__canvas);
}"""


class Screen:
    """What a viewer has in front of them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.problems.append(message.text)
                if message.type == "error" and "Content Security Policy" in message.text
                else None
            ),
        )

    @property
    def mode(self) -> str | None:
        mode: str | None = self.page.evaluate("window.__streamd?.player.mode ?? null")
        return mode

    def clock_ms(self) -> int | None:
        """Unix milliseconds that the picture shows now; None when there is no readable picture."""
        seen: int | None = self.page.evaluate(READ_CLOCK)
        return seen

    def position_s(self) -> float:
        """Where the player is on its own timeline."""
        seen: float = self.page.evaluate("document.querySelector('video')?.currentTime ?? 0")
        return seen

    def wait_for_position(self, later_than_s: float, *, seconds: float = 60) -> None:
        """Until playback has come that far. Polled from here: the page's policy forbids it to evaluate strings."""
        deadline = time.monotonic() + seconds
        while self.position_s() <= later_than_s:
            assert time.monotonic() < deadline, f"playback stands at {self.position_s()}, {self.problems}"
            self.page.wait_for_timeout(100)

    def wait_for_picture(self, *, newer_than_ms: int = 0, seconds: float = 60) -> int:
        """The clock of a picture drawn after `newer_than_ms`."""
        deadline = time.monotonic() + seconds
        seen = None
        while time.monotonic() < deadline:
            seen = self.clock_ms()
            if seen is not None and seen > newer_than_ms:
                return seen
            self.page.wait_for_timeout(100)
        state = self.page.evaluate("JSON.stringify(window.__streamd?.player.figures ?? null)")
        raise AssertionError(f"no picture newer than {newer_than_ms}; last {seen}; player {state}; {self.problems}")


@contextmanager
def watching(
    browser: Browser, url: str, *, width: int = 1280, height: int = 800, ignores_certificate: bool = False
) -> Iterator[Screen]:
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale="en-GB", ignore_https_errors=ignores_certificate
    )
    try:
        page = context.new_page()
        page.add_init_script(STRIP)
        screen = Screen(page)
        page.goto(url)
        yield screen
        assert screen.problems == []
    finally:
        context.close()
