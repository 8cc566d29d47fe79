"""The administration in a real browser."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.desk import LAPTOP, PHONE, Person, axe, open_page
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually

PASSWORD = "words of an admin"
# What a tab shows once it has asked.
CONTENT = ".panel :is(.rows li, .rooms li, tbody tr, .none, .words, .node h2)"
TABS = ("rooms", "users", "words", "jobs", "audit", "node")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with start_server(tmp_path_factory.mktemp("admin")) as running:
        command = [sys.executable, "-m", "streamd", "user", "create", "root", "--role", "admin", "--password-stdin"]
        subprocess.run(
            command, cwd=running.folder, env=running.environ, input=PASSWORD, text=True, check=True, capture_output=True
        )
        yield running


@pytest.fixture(scope="module")
def admin(server: RunningServer) -> Person:
    return Person(server.http_url, "root", PASSWORD)


def at(server: RunningServer, tab: str) -> str:
    return f"{server.http_url}/admin#{tab}"


def test_page_is_for_administrators(server: RunningServer, browser: Browser) -> None:
    with open_page(browser, at(server, "users")) as page:
        expect(page.get_by_role("heading", name="Sign in as administrator")).to_be_visible()
    with open_page(browser, at(server, "users"), Person(server.http_url, "alice")) as page:
        expect(page.get_by_role("heading", name="This page is for administrators")).to_be_visible()


def test_account_is_found_given_a_role_closed_and_opened_again(
    server: RunningServer, admin: Person, browser: Browser
) -> None:
    with open_page(browser, at(server, "users"), admin) as page:
        page.get_by_role("searchbox").fill("bo")
        person = page.locator(".rows li")
        expect(person).to_have_count(1)
        page.get_by_role("combobox", name="Role: bob").select_option("assistant")
        expect(page.get_by_text("“bob” is Assistant now")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("combobox", name="Role: bob")).to_have_value("viewer")
        person.get_by_role("button", name="Close the account").click()
        expect(person.get_by_text("closed")).to_be_visible()
        person.get_by_role("button", name="Open it again").click()
        expect(person.get_by_role("button", name="Close the account")).to_be_visible()
        eventually(
            lambda: admin.do("GET", "/api/v1/users?search=bob")["items"][0],
            lambda user: user["role"] == "viewer" and not user["disabled"],
            seconds=5,
            what="bob is a viewer who may sign in",
        )


def test_lost_password_is_made_anew_and_shown_once(server: RunningServer, admin: Person, browser: Browser) -> None:
    with open_page(browser, at(server, "users"), admin) as page:
        page.get_by_role("searchbox").fill("alice")
        page.locator(".rows li", has_text="alice").get_by_role("button", name="New password").click()
        page.get_by_role("dialog").get_by_role("button", name="New password").click()
        field = page.get_by_role("dialog").get_by_role("textbox")
        expect(field).not_to_have_value("")
        assert Person(server.http_url, "alice", field.input_value()).session["user"]["name"] == "alice"


def test_room_is_kept_off_air_and_let_in_again(server: RunningServer, admin: Person, browser: Browser) -> None:
    with open_page(browser, at(server, "rooms"), admin) as page:
        page.locator("label", has_text="All rooms").click()
        room = page.locator(".rooms li", has_text="demo")
        room.get_by_role("button", name="Take off air").click()
        page.get_by_role("dialog").locator("label", has_text="a day").click()
        page.get_by_role("dialog").get_by_role("button", name="Take off air").click()
        expect(room).to_contain_text("kept off air until")
        page.get_by_role("button", name="Undo").click()
        expect(room.get_by_role("button", name="Take off air")).to_be_visible()
        assert admin.do("GET", "/api/v1/rooms/demo")["cut_until_ms"] == 0


def test_words_are_added_and_tried(server: RunningServer, admin: Person, browser: Browser) -> None:
    with open_page(browser, at(server, "words"), admin) as page:
        page.get_by_label("Add a word").fill("swindle")
        page.get_by_role("button", name="Add").click()
        expect(page.locator(".words li")).to_contain_text("swindle")
        eventually(
            lambda: admin.do("GET", "/api/v1/words")["words"],
            lambda words: bool(words == [{"text": "swindle", "action": "block"}]),
            what="the word holds for the whole site",
        )
        page.locator("label", has_text="One room").click()
        page.get_by_label("Room", exact=True).fill("demo")
        page.get_by_label("Add a word").fill("casino, lottery")
        page.get_by_role("combobox").select_option("hold")
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_text("lottery")).to_be_visible()
        for words, verdict in (("a c.a.s.i.n.o here", "Waits for review"), ("a swindle here", "Refused")):
            page.get_by_label("Try a message").fill(words)
            page.get_by_role("button", name="Try").click()
            expect(page.get_by_role("status")).to_contain_text(verdict)


def test_what_was_done_stands_in_the_audit_log_and_the_node_is_ready(
    server: RunningServer, admin: Person, browser: Browser
) -> None:
    with open_page(browser, at(server, "audit"), admin) as page:
        expect(page.get_by_text("room.chat.change").first).to_be_visible()
        page.get_by_role("tab", name="Node").click()
        expect(page.get_by_role("heading", name="Ready")).to_be_visible()
        expect(page.get_by_text("database")).to_be_visible()
        page.get_by_role("tab", name="Jobs").click()
        expect(page.get_by_role("columnheader", name="About")).to_be_visible()


def test_failure_of_a_page_is_told_to_the_log(server: RunningServer, browser: Browser) -> None:
    with open_page(browser, f"{server.http_url}/", complaints=False) as page:
        page.evaluate("void Promise.reject(new TypeError('nothing to be done'))")
        eventually(
            lambda: server.log, lambda log: "TypeError: nothing to be done" in log, seconds=5, what="the log says so"
        )
        # The same again is not told again; something else is.
        for what in ("nothing to be done", "and yet"):
            page.evaluate(f"void Promise.reject(new TypeError('{what}'))")
        eventually(lambda: server.log, lambda log: "TypeError: and yet" in log, seconds=5, what="the log says so")
        assert server.log.count("TypeError: nothing to be done") <= 2  # message and stack of one line


def test_page_that_outlived_its_server_loads_itself_anew(
    server: RunningServer, admin: Person, browser: Browser
) -> None:
    with open_page(browser, f"{server.http_url}/", admin) as page:
        link = page.get_by_role("link", name="Administration")
        expect(link).to_be_visible()
        page.evaluate("window.isOld = true")
        page.route("**/assets/AdminPage*", lambda route: route.fulfill(status=404, body="gone"))
        with page.expect_navigation():
            link.click()
        expect(link).to_be_visible()
        assert page.evaluate("window.isOld ?? false") is False


@pytest.mark.parametrize(("theme", "language", "size"), [("light", "en", LAPTOP), ("dark", "zh", PHONE)])
def test_axe_finds_nothing_on_any_tab(
    server: RunningServer, admin: Person, browser: Browser, theme: str, language: str, size: tuple[int, int]
) -> None:
    with open_page(browser, at(server, "rooms"), admin, size=size, theme=theme, language=language) as page:
        found = {}
        for tab in TABS:
            page.goto(at(server, tab))
            expect(page.locator(CONTENT).first).to_be_visible()
            found[tab] = axe(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
        assert {tab: faults for tab, faults in found.items() if faults} == {}
