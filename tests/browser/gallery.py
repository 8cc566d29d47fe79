"""Pictures of every page in every state, to be looked at: `python -m tests.browser.gallery FOLDER`.

What is right is for an eye to say. Each state is taken on a phone and on a laptop, light and dark, in Chinese and
English; one contact sheet for each of these joins them. The test beside this takes two of the four looks in every run
and keeps them in `test-results/gallery`: that every state is reached, and that nothing is wider than the screen.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.desk import LAPTOP, PHONE, Person, open_page, settled
from tests.browser.screen import Screen
from tests.interop.live import wait_on_air, wait_playlist
from tests.support.encoder import clip, pushing
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually

ROOM = "/api/v1/rooms/demo"
ADDRESS = {"recipient": "Alice Li", "phone": "+86 138 0000 0000", "address": "1 West Lake Road, Hangzhou"}
PASSWORD = "words of an admin"


class Look(NamedTuple):
    """How a page is looked at."""

    size: tuple[int, int]
    theme: str
    language: str

    @property
    def name(self) -> str:
        return f"{'phone' if self.size == PHONE else 'laptop'}-{self.theme}-{self.language}"


LOOKS = (
    Look(PHONE, "dark", "zh"),
    Look(LAPTOP, "light", "en"),
    Look(PHONE, "light", "en"),
    Look(LAPTOP, "dark", "zh"),
)


class Stage:
    """A demo in the middle of a show, and the people in it."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.url = server.http_url
        self.host, self.assistant, self.alice, self.bob = (
            Person(self.url, name) for name in ("host", "assistant", "alice", "bob")
        )
        self.products = self.host.do("GET", f"{ROOM}/products")["items"]
        for slug, title, in_s in (
            ("evening", "Evening tea 晚间茶会", 5_400),
            ("winter", "Winter coats 冬季大衣", 300_000),
        ):
            starts = int((time.time() + in_s) * 1_000)
            self.host.do("POST", "/api/v1/rooms", {"room": slug, "title": title, "starts_at_ms": starts})
        self.mortal = self.host.make_room("mortal")
        self.host.do("PUT", f"{ROOM}/card", {"product_id": self.products[0]["id"]})

    def order(self, place: int) -> str:
        wanted = {"room": "demo", "sku_id": self.products[place]["skus"][0]["id"], "shipping": ADDRESS}
        return str(self.alice.do("POST", "/api/v1/orders", wanted, key=uuid.uuid4().hex)["order"])


Taken = Iterator[tuple[str, Page]]
Scene = Callable[[Browser, Stage, Look], Taken]


@contextmanager
def seen(browser: Browser, address: str, look: Look, who: Person | None = None) -> Iterator[Page]:
    with open_page(
        browser, address, who, size=look.size, theme=look.theme, language=look.language, complaints=False
    ) as page:
        yield page


def watching(browser: Browser, stage: Stage, look: Look) -> Taken:
    """The show, the shop beside it, an order on its way."""
    with seen(browser, f"{stage.url}/watch/demo", look, stage.alice) as page:
        Screen(page).wait_for_position(1)
        page.locator(".card, article").first.wait_for()
        for words in ("这个杯子多大？", "Is the blue one back?"):
            page.locator(".compose input, form input").first.fill(words)
            page.keyboard.press("Enter")
            page.wait_for_timeout(700)
        yield "watch", page
        page.keyboard.press("Escape")
        page.locator("[aria-label='Products of this show'], [aria-label='本场商品']").first.click()
        yield "shop", page
        page.locator("dialog.shop ul button, dialog.shop li button").first.click()
        page.wait_for_timeout(400)
        yield "product", page


def waiting(browser: Browser, stage: Stage, look: Look) -> Taken:
    """Before the show, between, after, and when the network is gone."""
    with seen(browser, f"{stage.url}/watch/evening", look) as page:
        page.locator(".until").wait_for()
        yield "scheduled", page
    with seen(browser, f"{stage.url}/watch/nowhere", look) as page:
        page.locator("section.words").wait_for()
        yield "unknown", page
    with pushing(f"{stage.server.rtmp_url}/{stage.mortal}", clip()) as encoder:
        wait_on_air(stage.url, "mortal")
        with seen(browser, f"{stage.url}/watch/mortal", look) as page:
            Screen(page).wait_for_position(1)
            encoder.kill()
            page.locator("section.words").wait_for()
            yield "reconnecting", page
            stage.server.end_programme("mortal")
            eventually(lambda: page.evaluate("window.__streamd.player.state"), lambda now: bool(now == "ended"))
            yield "ended", page
    # By HLS, which has to ask again: what flows already goes on flowing here.
    with seen(browser, f"{stage.url}/watch/demo?mode=hls", look) as page:
        Screen(page).wait_for_position(1)
        page.context.set_offline(True)
        page.locator("section.words").wait_for(timeout=60_000)
        page.wait_for_timeout(1_500)
        yield "lost", page


def silenced(browser: Browser, stage: Stage, look: Look) -> Taken:
    """Muted, and banned."""
    user = stage.bob.session["user"]["id"]
    with seen(browser, f"{stage.url}/watch/demo", look, stage.bob) as page:
        page.locator("form input:enabled").first.wait_for()
        stage.host.do("POST", f"{ROOM}/mutes", {"user_id": user, "for_s": 600, "reason": "Please stay on topic."})
        page.locator("form input:disabled").first.wait_for()
        yield "muted", page
        stage.host.do("DELETE", f"{ROOM}/mutes/{user}")
        stage.host.do("POST", f"{ROOM}/bans", {"user_id": user, "for_s": 60, "reason": "Enough."})
        page.wait_for_timeout(1_500)
        yield "banned", page
        stage.host.do("DELETE", f"{ROOM}/bans/{user}")


def buying(browser: Browser, stage: Stage, look: Look) -> Taken:
    """Ordering, and what stands in the way."""
    product = stage.products[1]
    sku = product["skus"][0]
    path = f"/api/v1/products/{product['id']}"
    with seen(browser, f"{stage.url}/watch/demo", look, stage.alice) as page:
        page.locator("[aria-label='Products of this show'], [aria-label='本场商品']").first.click()
        page.locator("dialog.shop").get_by_role("button", name=product["title"]).first.click()
        page.locator("dialog.shop .buy, dialog.shop footer button, dialog.shop .foot button").last.click()
        for name, words in ADDRESS.items():
            page.locator(f"dialog.shop [name={name}]").fill(words)
        yield "confirm", page
        stage.host.do("PATCH", path, {"skus": [{"id": sku["id"], "price_minor": sku["price_minor"] + 1_100}]})
        page.locator("dialog.shop form button[type=submit], dialog.shop .foot button").last.click()
        page.wait_for_timeout(1_200)
        yield "ordered-or-price-changed", page
        stage.host.do("PATCH", path, {"skus": [{"id": sku["id"], "price_minor": sku["price_minor"]}]})
    order = stage.order(2)
    detail = stage.alice.do("GET", f"/api/v1/orders/{order}")
    late = {
        **detail,
        "status": "cancelled",
        "history": [{"status": "cancelled", "actor": "expiry", "at_ms": 1, "reason": ""}],
    }
    for name, body in (("unpaid", detail), ("expired", late), ("paid", {**detail, "status": "paid"})):
        with seen(browser, f"{stage.url}/healthz", look, stage.alice) as page:
            page.route(f"**/api/v1/orders/{order}", partial(answer, body))
            page.goto(f"{stage.url}/watch/demo?order={order}")
            page.locator("dialog.shop [role=status]").first.wait_for()
            page.wait_for_timeout(600)
            yield name, page
    with seen(browser, f"{stage.url}/healthz", look, stage.alice) as page:
        page.route("**/payments", partial(closing, iter(range(9))))
        page.goto(f"{stage.url}/watch/demo?order={order}")
        with page.context.expect_page() as opened:
            page.locator("dialog.shop a[href$='/healthz']").click()
        opened.value.close()
        page.evaluate("dispatchEvent(new Event('focus'))")
        page.locator("dialog.shop .bad").first.wait_for()
        yield "payment-failed", page
    stage.alice.do("POST", f"/api/v1/orders/{order}/cancel", {})


def selling_out(browser: Browser, stage: Stage, look: Look) -> Taken:
    """Nothing is left: on the card, in the list, beside the goods."""
    product = stage.products[0]
    path = f"/api/v1/products/{product['id']}"
    stage.host.do("PATCH", path, {"status": "sold_out"})
    try:
        with seen(browser, f"{stage.url}/watch/demo", look, stage.alice) as page:
            Screen(page).wait_for_position(1)
            page.locator(".card, article").first.wait_for()
            yield "sold-out-card", page
            page.locator("[aria-label='Products of this show'], [aria-label='本场商品']").first.click()
            page.locator("dialog.shop").get_by_role("button", name=product["title"]).first.wait_for()
            yield "sold-out-list", page
            page.locator("dialog.shop").get_by_role("button", name=product["title"]).first.click()
            page.wait_for_timeout(400)
            yield "sold-out", page
    finally:
        stage.host.do("PATCH", path, {"status": "active"})


def closing(numbers: Iterator[int], route: Route) -> None:
    """A gateway that has closed the payment whenever it is asked."""
    number = next(numbers)
    address = "/".join(route.request.url.split("/")[:3])
    route.fulfill(status=201, json={"reference": f"P{number}", "pay_url": f"{address}/healthz?{number}/healthz"})


def answer(body: object, route: Route) -> None:
    route.fulfill(json=body)


def around(browser: Browser, stage: Stage, look: Look) -> Taken:
    """Home, signing in, a page that is not there."""
    with seen(browser, stage.url, look) as page:
        page.locator(".card img").first.wait_for()
        eventually(lambda: page.evaluate("document.querySelector('.card img')?.naturalWidth ?? 0"), bool)
        yield "home", page
    with seen(browser, f"{stage.url}/no/such/page", look) as page:
        page.wait_for_timeout(500)
        yield "missing", page
    with seen(browser, f"{stage.url}/studio/demo", look) as page:
        page.locator("main button").first.click()
        page.wait_for_timeout(500)
        yield "sign-in", page


def running(browser: Browser, stage: Stage, look: Look) -> Taken:
    """The studio."""
    with seen(browser, f"{stage.url}/studio/demo", look, stage.host) as page:
        page.locator(".products .list li").first.wait_for()
        page.wait_for_timeout(6_000)
        yield "studio", page
        if look.size == LAPTOP:
            for tab in range(page.get_by_role("tab").count()):
                page.get_by_role("tab").nth(tab).click()
                page.wait_for_timeout(300)
                yield f"studio-tab-{tab}", page
            page.keyboard.press("?")
            page.wait_for_timeout(300)
            yield "studio-help", page
        else:
            for column in (0, 2):
                page.locator(".columns-of-phone button").nth(column).click()
                page.wait_for_timeout(300)
                yield f"studio-column-{column}", page


def keeping(browser: Browser, stage: Stage, look: Look) -> Taken:
    """The administration."""
    root = Person(stage.url, "root", PASSWORD)
    with seen(browser, f"{stage.url}/admin", look, root) as page:
        for tab in ("rooms", "users", "words", "jobs", "audit", "node"):
            page.goto(f"{stage.url}/admin#{tab}")
            page.wait_for_timeout(1_200)
            yield f"admin-{tab}", page


SCENES: tuple[Scene, ...] = (watching, waiting, silenced, buying, selling_out, around, running, keeping)


def sheet(folder: Path) -> Path:
    """All pictures of one look beside each other, each under its name, in the order in which they were taken."""
    pictures = sorted(folder.glob("*.png"), key=lambda path: path.stat().st_mtime)
    to = folder.with_name(f"{folder.name}.png")
    images = [(path.stem, Image.open(path)) for path in pictures]
    width, height = images[0][1].size
    columns = 6 if width < height else 3
    rows = -(-len(images) // columns)
    joined = Image.new("RGB", (columns * (width + 12), rows * (height + 30)), (120, 120, 120))
    pen = ImageDraw.Draw(joined)
    for index, (name, image) in enumerate(images):
        at = (index % columns * (width + 12), index // columns * (height + 30))
        pen.text((at[0] + 4, at[1] + 8), name, fill=(255, 255, 255))
        joined.paste(image, (at[0], at[1] + 28))
    joined.save(to)
    return to


def photograph(browser: Browser, stage: Stage, look: Look, scene: Scene, folder: Path) -> dict[str, int]:
    """One scene's states into `folder`, by name: by how many pixels each is wider than the screen."""
    folder.mkdir(parents=True, exist_ok=True)
    wider: dict[str, int] = {}
    for name, page in scene(browser, stage, look):
        settled(page)
        page.screenshot(path=folder / f"{name}.png")
        wider[name] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wider


@contextmanager
def in_a_show(data: Path, *, is_light: bool = False) -> Iterator[Stage]:
    """A demo on air; a light one shows a small clip, which costs the machine little, and not the programme."""
    with ExitStack() as ending:
        server = ending.enter_context(start_server(data, args=["--demo", *(["--no-programme"] if is_light else [])]))
        if is_light:
            ending.enter_context(pushing(f"{server.rtmp_url}/demo-key", clip()))
        command = [sys.executable, "-m", "streamd", "user", "create", "root", "--role", "admin", "--password-stdin"]
        subprocess.run(command, cwd=server.folder, env=server.environ, input=PASSWORD, text=True, check=True)
        wait_on_air(server.http_url, seconds=30)
        wait_playlist(server.http_url, segments=2)
        yield Stage(server)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="names of scenes: watching waiting silenced buying around …")
    parser.add_argument("--looks", default="", help="names of looks: phone-dark-zh …")
    given: Any = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as data,
        in_a_show(Path(data)) as stage,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for look in LOOKS:
            if not given.looks or look.name in given.looks:
                _take_all(browser, stage, look, given.folder / look.name, given.only)
        browser.close()


def _take_all(browser: Browser, stage: Stage, look: Look, folder: Path, only: str) -> None:
    """A scene that fails costs its pictures and not the others."""
    for scene in SCENES:
        if not only or scene.__name__ in only:
            try:
                photograph(browser, stage, look, scene, folder)
            except Exception as error:
                print(f"{look.name}, {scene.__name__}: {str(error)[:300]}")
    sheet(folder)


if __name__ == "__main__":
    main()
