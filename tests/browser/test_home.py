"""The home page in a real browser: rooms on air, announced shows, search; and the page of a show that has not begun."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.desk import PHONE, Person, axe, demo_on_air, fits, open_page
from tests.browser.screen import Screen
from tests.support.server import RunningServer

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with demo_on_air(tmp_path_factory.mktemp("home")) as server:
        host = Person(server.http_url, "host")
        soon_ms = int(time.time() * 1_000) + HOUR_MS
        for number, title in enumerate(("Evening tea", "Winter coats", "Book club", "Old records")):
            begins = {"starts_at_ms": soon_ms + number * HOUR_MS} if number < 2 else {}
            host.do("POST", "/api/v1/rooms", {"room": f"room-{number}", "title": title, **begins})
        yield server


def test_announced_shows_stand_below_those_on_air_and_search_finds_them(
    street: RunningServer, browser: Browser
) -> None:
    with open_page(browser, street.http_url) as page:
        expect(page.get_by_role("heading", name="On air now")).to_be_visible()
        coming = page.get_by_role("region", name="Coming up")
        expect(coming.get_by_role("link")).to_have_count(2)
        expect(coming.get_by_role("link").first).to_contain_text("Evening tea")
        # The picture of the show itself, as soon as there is one.
        expect(page.locator(".card img").first).to_be_visible()
        field = page.get_by_role("searchbox", name="Search shows")
        field.fill("coats")
        expect(page.get_by_role("link", name="Winter coats")).to_be_visible()
        expect(page.get_by_role("link", name="Evening tea")).to_have_count(0)
        field.fill("nothing like it")
        expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
        page.get_by_role("button", name="Clear search").click()
        expect(page.get_by_role("link", name="Evening tea")).to_be_visible()
        assert axe(page) == []


def test_show_that_has_not_begun_counts_down_and_goes_into_the_calendar(
    street: RunningServer, browser: Browser, tmp_path: Path
) -> None:
    with open_page(browser, f"{street.http_url}/watch/room-0", size=PHONE) as page:
        expect(page.locator(".until")).to_contain_text("59:")
        with page.expect_download() as begun:
            page.get_by_role("button", name="Add to calendar").click()
        assert begun.value.suggested_filename == "room-0.ics"
        begun.value.save_as(tmp_path / "show.ics")
        entry = (tmp_path / "show.ics").read_bytes().decode()
        assert "SUMMARY:Evening tea\r\n" in entry
        assert f"URL:{street.http_url}/watch/room-0\r\n" in entry
        assert fits(page)


def test_cover_moves_while_somebody_rests_on_it_unless_they_want_stillness(
    street: RunningServer, browser: Browser
) -> None:
    with open_page(browser, street.http_url) as page:
        card = page.get_by_role("link", name="The streamd demo")
        expect(card).to_be_visible()
        assert page.locator("video").count() == 0
        card.hover()
        Screen(page).wait_for_position(0)
        assert page.evaluate("document.querySelector('video').muted")
        page.get_by_role("searchbox", name="Search shows").hover()
        expect(page.locator("video")).to_have_count(0)
        page.emulate_media(reduced_motion="reduce")
        page.clock.install()
        card.focus()
        page.clock.fast_forward(1_000)
        expect(page.locator("video")).to_have_count(0)
