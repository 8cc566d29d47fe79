"""Chromium as Debian ships it: it has H.264 and AAC, which Playwright's own has not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # A camera that draws a clock and a microphone that beeps, for pages that go live.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]

# Until what is expected is there: how long that takes says how busy the machine is.
expect.set_options(timeout=60_000)


# Not for the session: while it is open an event loop runs in this thread, and asynchronous tests could not.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()
