"""The gateway's page on a phone: an order that was made by the API is paid there, in either language and theme."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Literal
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.desk import Person, axe
from tests.support.server import RunningServer, start_server

ROOM = "/api/v1/rooms/demo"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with start_server(tmp_path_factory.mktemp("pay")) as server:
        host = Person(server.http_url, "host")
        skus = [{"price_minor": 12_850, "stock": 40}]
        made = host.do("POST", "/api/v1/products", {"title": "Blue cup 蓝杯", "room": "demo", "skus": skus})
        host.do("PUT", f"{ROOM}/products", {"products": [made["id"]]})
        yield server


def until(ask: Callable[[], Any]) -> Any:
    """The first answer that is something; a gateway that has not started yet is none."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if found := ask():
                return found
        except HTTPError as error:
            if error.code != 503:
                raise
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("language", "theme", "words"),
    [("zh-CN", "light", ("确认支付", "支付成功")), ("en-GB", "dark", ("Pay", "Paid"))],
)
def test_order_is_paid_on_the_phones_page(
    demo: RunningServer, browser: Browser, language: str, theme: Literal["light", "dark"], words: tuple[str, str]
) -> None:
    alice = Person(demo.http_url, "alice")
    sku = alice.do("GET", f"{ROOM}/products")["items"][0]["skus"][0]["id"]
    wanted = {"room": "demo", "sku_id": sku}
    order = alice.do("POST", "/api/v1/orders", wanted, key=uuid.uuid4().hex)["order"]
    payment = until(lambda: alice.do("POST", f"/api/v1/orders/{order}/payments", {}))
    phone = {"width": 360, "height": 740}
    with browser.new_context(locale=language, viewport=phone, color_scheme=theme, bypass_csp=True) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(payment["pay_url"])
        expect(page.get_by_text("¥128.50")).to_be_visible()
        expect(page.get_by_text("Blue cup 蓝杯")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
        assert axe(page) == []
        page.get_by_role("button", name=words[0], exact=True).click()
        expect(page.get_by_role("status")).to_have_text(words[1])
        assert axe(page) == []
    until(lambda: alice.do("GET", f"/api/v1/orders/{order}")["status"] == "paid")
