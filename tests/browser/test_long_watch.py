"""A watch page that stays open."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.busy_chat import BusyRoom, kept
from tests.support.server import start_server


def test_hour_of_busy_chat_leaves_nothing_behind(tmp_path: Path, browser: Browser) -> None:
    with start_server(tmp_path) as server, browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        room = BusyRoom(page)
        page.goto(f"{server.http_url}/watch/demo")
        expect(page.locator(".side")).to_contain_text("Busy")
        devtools = context.new_cdp_session(page)
        room.talk(minutes=5)
        first_mb, first_nodes = kept(devtools)
        room.talk(minutes=55)
        expect(page.locator(".side")).to_contain_text("and how is the cup?")
        last_mb, last_nodes = kept(devtools)
        print(f"from {first_mb:.1f} MB and {first_nodes} nodes to {last_mb:.1f} MB and {last_nodes} nodes")
        assert last_mb < first_mb + 2  # 66 000 messages came and went
        assert last_nodes < first_nodes + 200
