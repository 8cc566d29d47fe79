"""Buying in a real browser: the card, the shop beside the video, the gateway's page, and what stands in the way."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page, Response, Route, expect

from tests.browser.desk import LAPTOP, PHONE, Person, axe, demo_on_air, fits, open_page, settled
from tests.browser.screen import Screen
from tests.support.server import RunningServer

ROOM = "/api/v1/rooms/demo"
ADDRESS = {"recipient": "Alice Li", "phone": "+86 138 0000 0000", "address": "1 West Lake Road, Hangzhou"}
SHIFTS = """(() => {
  window.shifts = []
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value)
  }).observe({ type: 'layout-shift' })
})()"""
# Script of the watch page before the player's own chunk, compressed as it travels.
SCRIPT_LIMIT_BYTES = 130_000


class Stall:
    """The demo's room, and what it sells in these tests."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.host = Person(server.http_url, "host")
        self.alice = Person(server.http_url, "alice")
        self.cup = self._product("Blue cup", [{"price_minor": 12_800, "original_price_minor": 16_800, "stock": 40}])
        self.last = self._product("Last lamp", [{"price_minor": 5_000, "stock": 1}])
        self.tea = self._product(
            "Oolong tea",
            [{"name": "50 g", "price_minor": 4_000, "stock": 9}, {"name": "100 g", "price_minor": 7_000, "stock": 0}],
        )
        self.host.do("PUT", f"{ROOM}/products", {"products": [self.cup["id"], self.last["id"], self.tea["id"]]})

    def _product(self, title: str, skus: list[dict[str, object]]) -> dict[str, int]:
        made = self.host.do("POST", "/api/v1/products", {"title": title, "room": "demo", "skus": skus})
        return {"id": made["id"], "sku": made["skus"][0]["id"]}

    def change(self, product: dict[str, int], **sku: object) -> None:
        self.host.do("PATCH", f"/api/v1/products/{product['id']}", {"skus": [{"id": product["sku"], **sku}]})

    @property
    def url(self) -> str:
        return f"{self.server.http_url}/watch/demo"


@pytest.fixture(scope="module")
def stall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stall]:
    with demo_on_air(tmp_path_factory.mktemp("buying")) as server:
        yield Stall(server)


def shop(page: Page) -> Locator:
    return page.locator("dialog.shop")


def open_goods(page: Page, title: str) -> None:
    page.get_by_role("button", name="Products of this show").click()
    shop(page).get_by_role("button", name=title).click()
    expect(shop(page).get_by_role("heading", name=title)).to_be_visible()


def fill_address(page: Page) -> None:
    for name, words in ADDRESS.items():
        shop(page).locator(f"[name={name}]").fill(words)


@contextmanager
def ready_to_order(stall: Stall, browser: Browser, title: str) -> Iterator[Page]:
    """Alice before the last tap."""
    with open_page(browser, stall.url, stall.alice) as page:
        open_goods(page, title)
        shop(page).get_by_role("button", name="Buy now").click()
        fill_address(page)
        yield page


def position_s(page: Page) -> float:
    seen: float = page.evaluate("document.querySelector('video').currentTime")
    return seen


def test_pinned_product_is_seen_bought_and_paid_and_the_room_hears_of_it(stall: Stall, browser: Browser) -> None:
    with open_page(browser, stall.url) as other, open_page(browser, stall.url) as page:
        stall.host.do("PUT", f"{ROOM}/card", {"product_id": stall.cup["id"]})
        card = page.get_by_role("article", name="Product on show")
        expect(card).to_contain_text("Blue cup")
        card.get_by_role("button", name="Blue cup").click()
        expect(shop(page)).to_contain_text("¥128.00")
        shop(page).get_by_role("button", name="Buy now").click()
        page.get_by_label("Name", exact=True).fill("alice")
        page.get_by_label("Password").fill("demo-password")
        page.keyboard.press("Enter")
        # Where it was: the product that was chosen, and the video that never stopped.
        expect(shop(page).get_by_role("heading", name="Confirm order")).to_be_visible()
        before_s = position_s(page)
        fill_address(page)
        shop(page).get_by_role("button", name="Place order · ¥128.00").click()
        pay = shop(page).get_by_role("link", name="Pay ¥128.00")
        expect(pay).to_be_visible()
        expect(other.get_by_role("region", name="Chat")).to_contain_text("bought")
        with page.context.expect_page() as opened:
            pay.click()
        opened.value.get_by_role("button", name="Pay", exact=True).click()
        page.bring_to_front()
        expect(shop(page).get_by_role("status")).to_contain_text("Paid")
        assert position_s(page) > before_s
        # The way back from the gateway's page leads to the same order.
        opened.value.get_by_role("link", name="Back to the shop").click()
        expect(shop(opened.value).get_by_role("status")).to_contain_text("Paid")
    stall.host.do("DELETE", f"{ROOM}/card")


def test_tap_on_a_card_is_counted_for_the_host(stall: Stall, browser: Browser) -> None:
    stall.host.do("PUT", f"{ROOM}/card", {"product_id": stall.cup["id"]})
    with open_page(browser, stall.url) as page:
        card = page.get_by_role("button", name="Blue cup")
        expect(card).to_be_visible()
        with page.expect_response(lambda answer: answer.url.endswith("/card/clicks")) as told:
            card.click()
        assert told.value.ok
        assert json.loads(told.value.request.post_data or "") == {"product_id": stall.cup["id"]}
    stall.host.do("DELETE", f"{ROOM}/card")


def test_failed_payment_is_tried_again_and_an_order_can_be_given_up(stall: Stall, browser: Browser) -> None:
    with ready_to_order(stall, browser, "Blue cup") as page:
        shop(page).get_by_role("button", name="Place order").click()
        with page.context.expect_page() as opened:
            shop(page).get_by_role("link", name="Pay ¥128.00").click()
        opened.value.get_by_role("button", name="Fail").click()
        # A page that is closed on its way to the next never tells Playwright that it is.
        expect(opened.value.get_by_role("status")).to_be_visible()
        opened.value.close()
        page.evaluate("dispatchEvent(new Event('focus'))")
        expect(shop(page).get_by_role("status")).to_contain_text("Payment failed")
        expect(shop(page).get_by_role("link", name="Pay again · ¥128.00")).to_be_visible()
        shop(page).get_by_role("button", name="Cancel order").click()
        shop(page).get_by_role("button", name="Really cancel?").click()
        expect(shop(page).get_by_role("status")).to_contain_text("Cancelled")
        page.keyboard.press("Escape")
        expect(shop(page).get_by_role("button", name="Blue cup").first).to_contain_text("Cancelled")


def test_changed_price_is_shown_and_taken_with_one_tap(stall: Stall, browser: Browser) -> None:
    with ready_to_order(stall, browser, "Blue cup") as page:
        # The tap and the host's change cross: the page does not hear of it in time.
        def cross(route: Route) -> None:
            stall.change(stall.cup, price_minor=13_900)
            route.continue_()

        page.route("**/api/v1/orders", cross, times=1)
        shop(page).get_by_role("button", name="Place order · ¥128.00").click()
        expect(shop(page).get_by_role("alert")).to_contain_text("it is ¥139.00 now")
        shop(page).get_by_role("button", name="Buy at ¥139.00").click()
        expect(shop(page).get_by_role("link", name="Pay ¥139.00")).to_be_visible()
    stall.change(stall.cup, price_minor=12_800)


def test_last_piece_goes_to_one_and_the_other_is_told(stall: Stall, browser: Browser) -> None:
    with ready_to_order(stall, browser, "Last lamp") as page:
        stall.change(stall.last, stock={"by": -1})
        shop(page).get_by_role("button", name="Place order").click()
        expect(shop(page).get_by_role("alert")).to_contain_text("Sold out a moment ago")
        shop(page).get_by_role("button", name="See other products").click()
        expect(shop(page).get_by_role("button", name="Last lamp")).to_contain_text("Sold out")


def test_limit_for_a_buyer_is_said_with_the_reason(stall: Stall, browser: Browser) -> None:
    stall.change(stall.tea, buyer_limit=1)
    with ready_to_order(stall, browser, "Oolong tea") as page:
        shop(page).get_by_role("button", name="Place order").click()
        expect(shop(page).get_by_role("link", name="Pay ¥40.00")).to_be_visible()
    with open_page(browser, stall.url, stall.alice) as page:
        open_goods(page, "Oolong tea")
        expect(shop(page)).to_contain_text("At most 1 per buyer")
        expect(shop(page).get_by_role("button", name="One more")).to_be_disabled()
        shop(page).get_by_role("button", name="Buy now").click()
        fill_address(page)
        shop(page).get_by_role("button", name="Place order").click()
        expect(shop(page).get_by_role("alert")).to_contain_text("reached the limit")


def test_flash_sale_counts_down_here_without_a_reload(stall: Stall, browser: Browser) -> None:
    with open_page(browser, stall.url) as page:
        open_goods(page, "Blue cup")
        plan = {"sku_id": stall.cup["sku"], "price_minor": 9_900, "duration_s": 60, "quantity": 5}
        sale = stall.host.do("POST", f"{ROOM}/sales", plan)
        expect(shop(page)).to_contain_text("Flash sale")
        expect(shop(page).get_by_role("button", name="Buy now · ¥99.00")).to_be_visible()
        stall.host.do("POST", f"{ROOM}/sales/{sale['id']}/end")
        expect(shop(page).get_by_role("button", name="Buy now · ¥128.00")).to_be_visible()


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_shop_is_found_by_keys_fits_and_axe_finds_nothing(
    stall: Stall, browser: Browser, size: tuple[int, int]
) -> None:
    with open_page(browser, stall.url, stall.alice, size=size) as page:
        opener = page.get_by_role("button", name="Products of this show")
        opener.focus()
        page.keyboard.press("Enter")
        expect(shop(page).get_by_role("button", name="Blue cup")).to_be_visible()
        assert axe(page) == []
        assert fits(page)
        open_first = shop(page).get_by_role("button", name="Blue cup")
        open_first.focus()
        page.keyboard.press("Enter")
        expect(shop(page).get_by_role("button", name="Buy now")).to_be_visible()
        assert axe(page) == []
        page.keyboard.press("Escape")
        expect(open_first).to_be_visible()
        page.keyboard.press("Escape")
        expect(shop(page)).to_have_count(0)
        expect(opener).to_be_focused()


def test_who_is_muted_or_banned_is_told_why_and_until_when(stall: Stall, browser: Browser) -> None:
    bob = Person(stall.server.http_url, "bob")
    user = bob.session["user"]["id"]
    with open_page(browser, stall.url, bob, size=PHONE) as page:
        expect(page.get_by_placeholder("Say something")).to_be_enabled()
        stall.host.do("POST", f"{ROOM}/mutes", {"user_id": user, "for_s": 600, "reason": "Please stay on topic."})
        expect(page.get_by_placeholder("Muted until")).to_be_disabled()
        expect(page.get_by_text("Why: Please stay on topic.")).to_be_visible()
        stall.host.do("DELETE", f"{ROOM}/mutes/{user}")
        expect(page.get_by_placeholder("Say something")).to_be_enabled()
        stall.host.do("POST", f"{ROOM}/bans", {"user_id": user, "for_s": 60, "reason": "Enough."})
        expect(page.get_by_text("You are banned from this chat. You can go on watching.")).to_be_visible()
        expect(page.get_by_text("Why: Enough.")).to_be_visible()


def test_nothing_moves_when_a_card_comes_and_goes(stall: Stall, browser: Browser) -> None:
    with open_page(browser, stall.url) as laptop, open_page(browser, stall.url, size=PHONE) as phone:
        pages = (laptop, phone)
        for page in pages:
            Screen(page).wait_for_position(0)
            settled(page)
            page.evaluate(SHIFTS)
        stall.host.do("PUT", f"{ROOM}/card", {"product_id": stall.cup["id"]})
        for page in pages:
            expect(page.get_by_role("article", name="Product on show")).to_be_visible()
        stall.host.do("DELETE", f"{ROOM}/card")
        for page in pages:
            expect(page.get_by_role("article", name="Product on show")).to_have_count(0)
            assert page.evaluate("window.shifts") == []


def test_script_before_the_player_is_small_and_the_shop_is_not_in_it(stall: Stall, browser: Browser) -> None:
    with open_page(browser, f"{stall.server.http_url}/healthz", complaints=False) as page:
        scripts: list[Response] = []
        page.on("response", lambda answer: scripts.append(answer) if answer.url.endswith(".js") else None)
        page.goto(stall.url)
        Screen(page).wait_for_position(0)
        names = [answer.url.rpartition("/")[2] for answer in scripts]
        own = [answer for answer, name in zip(scripts, names, strict=True) if not name.startswith(("flv-", "hls-"))]
        assert not any(name.startswith(("ShopPanel", "AccountSheet", "OrderProgress")) for name in names)
        assert 0 < sum(len(gzip.compress(answer.body())) for answer in own) <= SCRIPT_LIMIT_BYTES
