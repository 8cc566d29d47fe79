"""The studio in a real browser: two who run the show, one who watches, and a server that sometimes refuses."""

from __future__ import annotations

import re
import time
import urllib.request
import uuid
from collections.abc import Iterator
from io import BytesIO
from urllib.error import HTTPError

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect

from tests.browser.desk import LAPTOP, PHONE, Person, axe, demo_on_air, fits, open_page
from tests.support.server import RunningServer
from tests.support.web import eventually

ROOM = "/api/v1/rooms/demo"
TITLES = ("Blue cup", "Linen shirt", "Oolong tea", "Earbuds")
UNDO_MS, LOOK_MS = 5_000, 8_000
ANY_PICTURE = re.compile(r"^/pictures/[0-9a-f]{32}\.jpg$")


class Show:
    """The demo's room with four products and a card on none."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.host = Person(server.http_url, "host")
        self.assistant = Person(server.http_url, "assistant")
        self.products = [self._product(title) for title in TITLES]

    def _product(self, title: str) -> int:
        skus = [{"price_minor": 12_800, "stock": 40}]
        made = self.host.do("POST", "/api/v1/products", {"title": title, "room": "demo", "skus": skus})
        return int(made["id"])

    def reset(self) -> None:
        self.host.do("PUT", f"{ROOM}/products", {"products": self.products})
        self.host.do("DELETE", f"{ROOM}/card")

    @property
    def studio(self) -> str:
        return f"{self.server.http_url}/studio/demo"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    with demo_on_air(tmp_path_factory.mktemp("studio")) as server:
        yield Show(server)


@pytest.fixture
def show(staged: Show) -> Show:
    staged.reset()
    return staged


def picture() -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 64), (200, 40, 60)).save(out, "PNG")
    return out.getvalue()


def pay_here(buyer: Person, order: str) -> None:
    """As its buyer does on the page of the gateway, which starts beside the node."""
    deadline = time.monotonic() + 60
    page = ""
    while not page:
        try:
            page = buyer.do("POST", f"/api/v1/orders/{order}/payments", {})["pay_url"]
        except HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise
            time.sleep(0.3)
    urllib.request.urlopen(urllib.request.Request(page, data=b"action=pay"), timeout=20).close()


def is_now(buyer: Person, order: str, status: str) -> None:
    eventually(
        lambda: buyer.do("GET", f"/api/v1/orders/{order}")["status"],
        lambda now: bool(now == status),
        what=f"the order is {status}",
    )


def row(page: Page, title: str) -> Locator:
    return page.locator(".products .list li", has_text=title)


def ready(page: Page) -> None:
    expect(row(page, TITLES[-1])).to_be_visible()


def on_show(page: Page, title: str) -> None:
    expect(page.locator(".now")).to_contain_text(title)
    expect(row(page, title)).to_have_attribute("aria-current", "true")


def test_stream_on_air_is_told_with_its_figures(show: Show, browser: Browser) -> None:
    with open_page(browser, show.studio, show.host) as page:
        expect(page.get_by_role("heading", name="On air")).to_be_visible()
        expect(page.get_by_text("h264 320×180")).to_be_visible()
        expect(page.get_by_text("Key frame every 2.0 s")).to_be_visible()


def test_pin_by_key_is_seen_before_the_server_answers_and_soon_by_others(show: Show, browser: Browser) -> None:
    with (
        open_page(browser, show.studio, show.host) as host,
        open_page(browser, show.studio, show.assistant) as assistant,
        open_page(browser, f"{show.server.http_url}/watch/demo") as viewer,
    ):
        for page in (host, assistant):
            ready(page)

        def after_it_is_seen(route: Route) -> None:
            on_show(host, "Linen shirt")
            route.continue_()

        host.route("**/api/v1/rooms/demo/card", after_it_is_seen, times=1)
        host.keyboard.press("2")
        on_show(host, "Linen shirt")
        on_show(assistant, "Linen shirt")
        expect(viewer.get_by_text("Linen shirt").first).to_be_visible()
        assistant.keyboard.press("0")
        expect(host.locator(".now")).to_contain_text("Nothing is explained")


def test_price_and_stock_are_changed_in_their_place_for_all(show: Show, browser: Browser) -> None:
    with open_page(browser, show.studio, show.host) as host, open_page(browser, show.studio, show.assistant) as other:
        for page in (host, other):
            ready(page)
        row(host, "Blue cup").focus()
        host.keyboard.press("e")
        host.keyboard.type("99.9")
        host.keyboard.press("Enter")
        expect(row(other, "Blue cup")).to_contain_text("¥99.90")
        row(host, "Blue cup").get_by_role("button", name="In stock").click()
        host.keyboard.type("7")
        host.keyboard.press("Enter")
        expect(row(other, "Blue cup").get_by_role("button", name="In stock: 7")).to_be_visible()


def test_refused_click_comes_back_with_its_reason(show: Show, browser: Browser) -> None:
    def refuse(route: Route) -> None:
        if route.request.method != "PUT":
            route.continue_()
            return
        body = '{"status":409,"code":"odd","detail":"somebody put it away","fix":""}'
        route.fulfill(status=409, content_type="application/problem+json", body=body)

    with open_page(browser, show.studio, show.host) as page:
        page.route("**/api/v1/rooms/demo/card", refuse)
        # A request that meets the interception while that is being set up is held for good (seen once).
        page.reload()
        ready(page)
        page.keyboard.press("1")
        expect(page.get_by_role("alert").filter(has_text="somebody put it away")).to_be_visible()
        expect(page.locator(".now")).to_contain_text("Nothing is explained")


def test_order_is_changed_by_keys_and_removal_undone(show: Show, browser: Browser) -> None:
    with open_page(browser, show.studio, show.host) as page:
        ready(page)
        row(page, "Earbuds").focus()
        page.keyboard.press("Alt+ArrowUp")
        titles = page.locator(".products .list .title")
        expect(titles).to_have_text(["Blue cup", "Linen shirt", "Earbuds", "Oolong tea"])
        row(page, "Linen shirt").focus()
        page.keyboard.press("Delete")
        expect(titles).to_have_text(["Blue cup", "Earbuds", "Oolong tea"])
        page.get_by_role("button", name="Undo").click()
        expect(titles).to_have_text(["Blue cup", "Linen shirt", "Earbuds", "Oolong tea"])
        listed = show.host.do("GET", f"{ROOM}/products")["items"]
        assert [product["title"] for product in listed] == ["Blue cup", "Linen shirt", "Earbuds", "Oolong tea"]


def test_flash_sale_begins_and_its_end_can_be_taken_back(show: Show, browser: Browser) -> None:
    with open_page(browser, show.studio, show.host) as host, open_page(browser, show.studio, show.assistant) as other:
        for page in (host, other):
            ready(page)
        row(host, "Oolong tea").focus()
        host.keyboard.press("f")
        host.get_by_label("Sale price").fill("50")
        host.locator("label", has_text="none").click()
        host.get_by_role("button", name="Begin flash sale").click()
        for page in (host, other):
            expect(row(page, "Oolong tea")).to_contain_text("ends in")
        expect(host.get_by_role("dialog")).to_have_count(0)
        row(host, "Oolong tea").focus()
        host.keyboard.press("f")
        expect(row(host, "Oolong tea")).to_contain_text("stopping")
        host.locator("body").press("u")
        expect(row(host, "Oolong tea")).to_contain_text("ends in")
        sale = show.host.do("GET", f"{ROOM}/sales")["items"][0]
        assert sale["status"] == "running"
        show.host.do("POST", f"{ROOM}/sales/{sale['id']}/end")


def test_product_is_made_with_its_picture_and_stands_in_the_show(show: Show, browser: Browser) -> None:
    with open_page(browser, show.studio, show.host) as page:
        ready(page)
        page.keyboard.press("n")
        page.get_by_label("Title").fill("Paper lamp")
        page.get_by_role("textbox", name="Price").fill("219")
        page.get_by_role("textbox", name="Stock").fill("12")
        lamp: FilePayload = {"name": "lamp.png", "mimeType": "image/png", "buffer": picture()}
        page.locator("input[type=file]").set_input_files(lamp)
        page.get_by_role("button", name="Make and add").click()
        expect(row(page, "Paper lamp")).to_be_visible()
        expect(row(page, "Paper lamp").locator("img")).to_have_attribute("src", ANY_PICTURE)


def test_orders_are_seen_as_they_come_cancelled_and_sent(show: Show, browser: Browser) -> None:
    alice = Person(show.server.http_url, "alice")
    skus = {row["id"]: row["skus"][0]["id"] for row in show.host.do("GET", f"{ROOM}/products")["items"]}

    def buy(place: int) -> str:
        shipping = {"recipient": "Alice L", "phone": "13800000000", "address": "1 Tea Street"}
        wanted = {"room": "demo", "sku_id": skus[show.products[place]], "shipping": shipping}
        return str(alice.do("POST", "/api/v1/orders", wanted, key=uuid.uuid4().hex)["order"])

    with open_page(browser, show.studio, show.host, clock=True) as page:
        ready(page)
        page.get_by_role("tab", name="Orders").click()
        orders = page.locator(".orders li")
        expect(page.get_by_text("Nothing was ordered here yet.")).to_be_visible()
        buy(0)
        expect(orders).to_have_count(1)
        paid = buy(1)
        expect(orders.first).to_contain_text("Linen shirt")
        expect(orders.first).to_contain_text("unpaid")
        cup = orders.filter(has_text="Blue cup")
        cup.get_by_role("button", name="Cancel order").click()
        expect(cup).to_contain_text("cancelling")
        page.get_by_role("button", name="Undo").click()
        expect(cup).to_contain_text("unpaid")
        cup.get_by_role("button", name="Cancel order").click()
        page.clock.fast_forward(UNDO_MS)
        expect(cup).to_contain_text("cancelled")
        pay_here(alice, paid)
        is_now(alice, paid, "paid")
        page.clock.fast_forward(LOOK_MS)
        shirt = orders.filter(has_text="Linen shirt")
        shirt.get_by_role("button", name="Send").click()
        expect(shirt).to_contain_text("1 Tea Street")
        page.keyboard.type("SF-1001")
        page.keyboard.press("Enter")
        expect(shirt).to_contain_text("on its way")
        assert axe(page) == []
        shirt.get_by_role("button", name="Refund").click()
        expect(shirt).to_contain_text("refunding")
        page.clock.fast_forward(UNDO_MS)
        is_now(alice, paid, "refunded")
        page.clock.fast_forward(LOOK_MS)
        expect(shirt).to_contain_text("refunded")
        assert alice.do("GET", f"/api/v1/orders/{paid}")["tracking"] == "SF-1001"


def test_message_that_was_chosen_by_keys_stays_chosen_while_others_speak(show: Show, browser: Browser) -> None:
    alice, bob = Person(show.server.http_url, "alice"), Person(show.server.http_url, "bob")
    watch = f"{show.server.http_url}/watch/demo"
    with (
        open_page(browser, show.studio, show.host) as host,
        open_page(browser, watch, alice) as viewer,
        open_page(browser, watch, bob) as other,
    ):
        ready(host)
        said = host.get_by_role("log")

        def say(page: Page, words: str) -> None:
            page.get_by_placeholder("Say something").fill(words)
            page.keyboard.press("Enter")
            expect(viewer.locator(".side").get_by_text(words)).to_be_visible()

        say(viewer, "is it blue")
        say(other, "buy elsewhere")
        expect(said).to_contain_text("buy elsewhere")
        said.focus()
        say(viewer, "what did I miss")
        host.keyboard.press("ArrowUp")
        host.keyboard.press("m")
        expect(said.get_by_text("muted")).to_have_count(1)
        host.get_by_role("button", name="Undo").click()
        expect(said.get_by_text("muted")).to_have_count(0)
        said.focus()
        host.keyboard.press("Delete")
        expect(said).not_to_contain_text("buy elsewhere")
        expect(viewer.get_by_text("buy elsewhere")).to_have_count(0)
        # The choice went to the neighbour, not to what was said meanwhile.
        host.keyboard.press("p")
        expect(viewer.locator(".pinned")).to_contain_text("is it blue")
        host.keyboard.press("Escape")
        expect(said).to_contain_text("what did I miss")


def test_notice_reaches_those_who_watch(show: Show, browser: Browser) -> None:
    with (
        open_page(browser, show.studio, show.assistant) as page,
        open_page(browser, f"{show.server.http_url}/watch/demo") as viewer,
    ):
        ready(page)
        page.keyboard.press("a")
        page.keyboard.type("The draw begins at nine")
        page.keyboard.press("Enter")
        expect(viewer.get_by_text("The draw begins at nine").first).to_be_visible()


def test_door_says_who_may_come_in_and_an_invitation_opens_it(show: Show, browser: Browser) -> None:
    with open_page(browser, show.studio) as page:
        expect(page.get_by_role("heading", name="Sign in to run a show")).to_be_visible()
    bob = Person(show.server.http_url, "bob")
    with open_page(browser, show.studio, bob) as page:
        expect(page.get_by_role("heading", name="You do not run “demo”")).to_be_visible()
    link = show.host.do("POST", f"{ROOM}/invitations", {"role": "moderator"})["link"]
    with open_page(browser, f"{show.studio}#{link.partition('#')[2]}", bob) as page:
        expect(page.get_by_role("log")).to_be_visible()
        assert "#" not in page.url
        expect(page.get_by_role("region", name="Products")).to_have_count(0)
    show.host.do("DELETE", f"{ROOM}/members/bob")


def test_host_goes_live_from_the_browser(show: Show, browser: Browser) -> None:
    key = show.host.make_room("kitchen")
    studio = f"{show.server.http_url}/studio/kitchen"
    with open_page(browser, studio, show.host, permissions=("camera", "microphone")) as page:
        page.get_by_role("tab", name="This browser").click()
        page.get_by_role("button", name="Camera").click()
        page.get_by_role("textbox", name="Stream key").fill(key)
        page.get_by_role("button", name="Go live").click()
        expect(page.get_by_role("button", name="End the stream")).to_be_visible()
        page.get_by_role("tab", name="Health").click()
        expect(page.get_by_text("WHIP")).to_be_visible()
        page.get_by_role("tab", name="This browser").click()
        with page.expect_response(lambda answer: "/whip/kitchen/" in answer.url) as farewell:
            page.get_by_role("button", name="End the stream").click()
        assert farewell.value.status == 200


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "zh")])
def test_studio_fits_a_laptop_and_a_phone_and_axe_finds_nothing(
    show: Show, browser: Browser, theme: str, language: str
) -> None:
    show.host.do("PUT", f"{ROOM}/card", {"product_id": show.products[0]})
    for size in (LAPTOP, PHONE):
        with open_page(browser, show.studio, show.host, size=size, theme=theme, language=language) as page:
            ready(page)
            assert fits(page), size
            assert axe(page) == [], size
            if size == LAPTOP:
                for tab in page.get_by_role("tab").all():
                    tab.click()
                    assert axe(page) == [], tab.inner_text()
                page.keyboard.press("?")
                assert axe(page) == []
