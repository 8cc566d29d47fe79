"""The sandbox gateway over real HTTP, with the shop's own client on the other side and a shop that listens."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from streamd.clock import SystemClock
from streamd.errors import ConflictError, InvalidError, UnauthenticatedError, UnavailableError
from streamd.gateways.sandbox import SandboxGateway, SandboxSettings
from streamd.gateways.signing import sign
from streamd.sandbox_gateway import pages
from streamd.sandbox_gateway.ledger import Asked, Charge
from streamd.sandbox_gateway.notifier import REPEATS_S
from streamd.sandbox_gateway.service import GatewaySettings, serve
from streamd.shop.gateway import Charge as Wanted
from streamd.shop.gateway import Notice, PaymentWord, RefundWord
from streamd.telemetry.log import get_log

KEY = b"shared by both"
CLOCK = SystemClock()


class Shop:
    """Hears notices; answers what it is told to answer, 200 in the end."""

    def __init__(self, client: SandboxGateway) -> None:
        self._client = client
        self.answers: list[int] = []
        self.notices: asyncio.Queue[Notice] = asyncio.Queue()
        self.tries = 0

    async def hear(self, request: web.Request) -> web.Response:
        self.tries += 1
        body = await request.read()
        notice = self._client.read_notice(path=request.path, headers=request.headers, body=body, now_ms=CLOCK.utc_ms())
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.notices.put_nowait(notice)
        return web.Response(status=status)

    async def next(self) -> Notice:
        async with asyncio.timeout(30):
            return await self.notices.get()


class World:
    """Gateway, client, shop."""

    def __init__(self, client: SandboxGateway, shop: Shop, url: str, notify_url: str) -> None:
        self.client, self.shop, self.url, self.notify_url = client, shop, url, notify_url
        self._numbers = itertools.count(1)

    def wanted(self, **changes: Any) -> Wanted:
        facts: dict[str, Any] = {
            "reference": f"P{next(self._numbers)}",
            "amount_minor": 1_250,
            "currency": "CNY",
            "title": "Tea <script>alert(1)</script>",
            "expires_at_ms": CLOCK.utc_ms() + 60_000,
            "notify_url": self.notify_url,
            "return_url": "https://shop.example.com/watch/demo?order=1&x=2",
        }
        return Wanted(**facts | changes)

    async def act(self, pay_url: str, action: str) -> tuple[int, str]:
        async with ClientSession() as session, session.post(pay_url, data={"action": action}) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def world(*, key: bytes = KEY) -> AsyncIterator[World]:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = GatewaySettings(key=KEY, origin=url, scale=0.001, refund_delay_ms=50)
    client = SandboxGateway(settings=SandboxSettings(url=url, key=key), clock=CLOCK)
    shop = Shop(client)
    application = web.Application()
    application.router.add_post("/notify", shop.hear)
    stopping = asyncio.Event()
    async with TestServer(application) as server, asyncio.TaskGroup() as group:
        log = get_log("test")
        group.create_task(serve(settings=settings, listener=listener, clock=CLOCK, log=log, stopping=stopping))
        try:
            yield World(client, shop, url, str(server.make_url("/notify")))
        finally:
            stopping.set()
            await client.close()


async def test_paying_on_the_page_is_announced_and_can_be_asked_for() -> None:
    async with world() as here:
        wanted = here.wanted()
        opened = await here.client.open(wanted)
        assert await here.client.open(wanted) == opened
        before = await here.client.query(wanted.reference)
        assert before is not None
        assert before.state == "open"
        status, page = await here.act(opened.pay_url, "pay")
        assert (status, "支付成功" in page) == (200, True)
        notice = await here.shop.next()
        assert isinstance(notice.word, PaymentWord)
        assert (notice.word.state, notice.word.amount_minor) == ("paid", 1_250)
        assert await here.client.query(wanted.reference) == notice.word
        assert await here.client.query("P-unknown") is None


async def test_a_notice_is_repeated_under_its_id_until_the_shop_says_yes() -> None:
    async with world() as here:
        here.shop.answers = [500, 302, 404, 503]
        opened = await here.client.open(here.wanted())
        await here.act(opened.pay_url, "pay")
        await here.shop.next()
        assert here.shop.tries == 5
        await asyncio.sleep(0.1)
        assert here.shop.notices.empty()


def test_repeats_are_those_of_a_day() -> None:
    assert (len(REPEATS_S), sum(REPEATS_S)) == (15, 86_640)


async def test_paying_twice_is_two_notices_of_one_payment() -> None:
    async with world() as here:
        opened = await here.client.open(here.wanted())
        await here.act(opened.pay_url, "twice")
        first, second = await here.shop.next(), await here.shop.next()
        assert first.id != second.id
        assert first.word == second.word


async def test_a_payment_that_fails_is_closed_and_cannot_be_paid_any_more() -> None:
    async with world() as here:
        opened = await here.client.open(here.wanted())
        await here.act(opened.pay_url, "fail")
        notice = await here.shop.next()
        assert isinstance(notice.word, PaymentWord)
        assert notice.word.state == "closed"
        _, page = await here.act(opened.pay_url, "pay")
        assert "支付失败" in page


async def test_late_money_comes_when_the_time_is_over() -> None:
    async with world() as here:
        wanted = here.wanted(expires_at_ms=CLOCK.utc_ms() - 600)
        opened = await here.client.open(wanted)
        _, page = await here.act(opened.pay_url, "late")
        assert "银行处理中" in page
        notice = await here.shop.next()
        assert isinstance(notice.word, PaymentWord)
        assert (notice.word.state, notice.word.at_ms > wanted.expires_at_ms) == ("paid", True)


async def test_money_goes_back_after_a_while_and_stands_in_the_bill_with_what_came() -> None:
    async with world() as here:
        wanted = here.wanted()
        opened = await here.client.open(wanted)
        await here.act(opened.pay_url, "pay")
        await here.shop.next()
        asked: dict[str, Any] = {
            "reference": "R1",
            "payment": wanted.reference,
            "amount_minor": 1_250,
            "notify_url": here.notify_url,
        }
        assert (await here.client.refund(**asked)).state == "asked"
        notice = await here.shop.next()
        assert isinstance(notice.word, RefundWord)
        assert (notice.word.reference, notice.word.state) == ("R1", "done")
        assert (await here.client.refund(**asked)).state == "done"
        with pytest.raises(ConflictError):
            await here.client.refund(**asked | {"reference": "R2"})
        lines = await here.client.bill(today())
        assert [(line.kind, line.reference, line.amount_minor) for line in lines] == [
            ("payment", wanted.reference, 1_250),
            ("refund", "R1", 1_250),
        ]
        assert await here.client.bill("2001-01-01") == []


async def test_requests_that_are_not_signed_by_the_shop_are_refused() -> None:
    async with world(key=b"another") as here:
        with pytest.raises(ConflictError, match="refuses"):
            await here.client.open(here.wanted())
        async with ClientSession() as session:
            for method, path in (
                ("POST", "/v1/charges"),
                ("POST", "/v1/refunds"),
                ("GET", "/v1/charges/P1"),
                ("GET", "/v1/bills/2026-11-21"),
            ):
                async with session.request(method, here.url + path) as answer:
                    assert answer.status == 401


async def test_a_request_that_makes_no_sense_is_refused() -> None:
    async with world() as here:
        for change in ({"amount_minor": 0}, {"currency": "yuan"}, {"return_url": "javascript:alert(1)"}):
            with pytest.raises(ConflictError):
                await here.client.open(here.wanted(**change))
        with pytest.raises(ConflictError):
            await here.client.bill("today")


async def test_a_gateway_that_is_away_is_unavailable() -> None:
    client = SandboxGateway(settings=SandboxSettings(url="http://127.0.0.1:1", key=KEY), clock=CLOCK)
    with pytest.raises(UnavailableError, match="does not answer"):
        await client.query("P1")
    await client.close()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id":"a"}', b'{"id":"a","payment":{"state":"paid"}}', b"\xff"])
async def test_a_signed_notice_that_cannot_be_read_is_invalid(body: bytes) -> None:
    client = SandboxGateway(settings=SandboxSettings(url="http://127.0.0.1:1", key=KEY), clock=CLOCK)
    headers = sign(
        KEY, speaker="gateway", method="POST", path="/n", body=body, timestamp_ms=CLOCK.utc_ms(), nonce="a" * 32
    )
    with pytest.raises(InvalidError):
        client.read_notice(path="/n", headers=headers, body=body, now_ms=CLOCK.utc_ms())
    with pytest.raises(UnauthenticatedError):
        client.read_notice(path="/other", headers=headers, body=body, now_ms=CLOCK.utc_ms())


async def test_the_page_escapes_what_it_shows_runs_no_script_and_speaks_two_languages() -> None:
    async with world() as here, ClientSession() as session:
        opened = await here.client.open(here.wanted())
        texts = {}
        for language in ("zh-CN,zh;q=0.9", "en-US,en;q=0.9", ""):
            async with session.get(opened.pay_url, headers={"Accept-Language": language}) as answer:
                texts[language] = await answer.text()
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "script" not in policy
                assert answer.headers["Cache-Control"] == "no-store"
                nonce = policy.partition("'nonce-")[2].partition("'")[0]
                assert f'<style nonce="{nonce}">' in texts[language]
        chinese, english = texts["zh-CN,zh;q=0.9"], texts["en-US,en;q=0.9"]
        assert ("确认支付" in chinese, ">Pay<" in english, "¥12.50" in english) == (True, True, True)
        assert all("<script" not in text and "&lt;script&gt;" in text for text in texts.values())
        async with session.get(f"{here.url}/pay/nothing") as answer:
            assert (answer.status, "没有这笔支付" in await answer.text()) == (404, True)
        async with session.post(f"{here.url}/pay/nothing", data={"action": "pay"}) as answer:
            assert answer.status == 404
        async with session.post(opened.pay_url, data={"action": "steal"}) as answer:
            assert answer.status == 400


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [(1_250, "CNY", "¥12.50"), (5, "USD", "$0.05"), (1_250, "JPY", "¥1,250"), (123_456_789, "SGD", "SGD 1,234,567.89")],
)
def test_amounts_are_shown_in_their_currency(minor: int, currency: str, shown: str) -> None:
    assert pages.shown_amount(minor, currency) == shown


def test_the_way_back_is_an_attribute_that_cannot_be_left() -> None:
    asked = Asked(
        reference="P1",
        amount_minor=1,
        currency="CNY",
        title="x",
        expires_at_ms=0,
        notify_url="http://shop/",
        return_url='http://shop/"><script>',
    )
    charge = Charge(asked=asked, token="t", gateway_reference="g", opened_at_ms=0, state="paid")
    assert "<script" not in pages.pay_page(charge, language="en", nonce="n")


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")
