"""The mini-program as it is built, run in Node behind a `wx` of real sockets, against real servers."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.phone import ME, PAY, PRODUCT, ROOM, Phone, phone, texts
from tests.support.redis import RedisServer, redis_server
from tests.support.server import RunningServer, start_server
from tests.support.weak_network import weak_network
from tests.support.wechat import APP_ID, APP_SECRET, wechat_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Two nodes of one shop. The sandbox gateway is the first's."""

    nodes: tuple[RunningServer, RunningServer]
    redis: RedisServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    async with redis_server() as redis, wechat_server() as wechat:
        env = {
            "STREAMD_WECHAT_APP_ID": APP_ID,
            "STREAMD_WECHAT_APP_SECRET": APP_SECRET,
            "STREAMD_WECHAT_URL": wechat.url,
            "STREAMD_REDIS_URL": redis.url,
            "STREAMD_DATA_DIR": str(folder / "data"),
        }
        async with node(folder / "a", env) as first, node(folder / "b", env | {"STREAMD_PAYMENT_URL": ""}) as second:
            yield Shop(nodes=(first, second), redis=redis)


@asynccontextmanager
async def node(folder: Path, env: dict[str, str]) -> AsyncIterator[RunningServer]:
    """In threads, for its start and its end block, and both speak with servers that run here."""
    await asyncio.to_thread(folder.mkdir)
    server = start_server(folder, env=env)
    running = await asyncio.to_thread(server.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


class Host:
    """The demo's host, by the API."""

    def __init__(self, server: RunningServer) -> None:
        self._url = f"{server.http_url}/api/v1"
        body = {"name": "host", "password": "demo-password"}
        self._token = ""
        self._token = str(self._call("POST", "/sessions", body)["access_token"])

    async def call(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(self._call, method, path, body)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        raw = None if body is None else json.dumps(body).encode()
        headers = headers if self._token else {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data=raw, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    async def pin(self, product: int) -> None:
        await self.call("PUT", "/rooms/demo/card", {"product_id": product})

    async def goods(self) -> Any:
        return (await self.call("GET", "/rooms/demo/products"))["items"]


async def test_viewer_watches_signs_in_and_buys_with_three_segments_of_ten_lost(built: Path, shop: Shop) -> None:
    port = shop.nodes[0].http_port
    async with weak_network(port, lost=0.3) as network, phone(built, network.url, "oBuyer") as viewer:
        await viewer.do("open", "pages/rooms/index", {})
        rooms = await viewer.sees("pages/rooms/index", lambda data: data["rooms"], what="the rooms")
        assert rooms["rooms"][0]["room"] == "demo"
        await viewer.do("open", ROOM, {"room": "demo"})
        data = await viewer.sees(ROOM, lambda data: data["title"], what="the room")
        assert data["src"] == "https://streamd.test/live/demo.flv"
        await viewer.do("call", ROOM, "openDrawer", {})
        drawer = await viewer.sees(ROOM, lambda data: data["goods"], what="the goods")
        product = drawer["goods"][0]["id"]
        await viewer.do("call", ROOM, "openProduct", {"detail": {"id": str(product)}})
        assert (await viewer.do("phone"))["went"][-1] == f"/pages/product/index?room=demo&product={product}"
        await viewer.do("open", PRODUCT, {"room": "demo", "product": str(product)})
        await viewer.sees(PRODUCT, lambda data: data["unit"], what="the price")
        await viewer.do("call", PRODUCT, "order", {})
        went = (await viewer.do("phone"))["went"][-1]
        assert went.startswith("/pages/pay/index?order="), (await viewer.do("data", PRODUCT))["problem"]
        await viewer.do("open", PAY, {"order": went.partition("=")[2]})
        await _gateway_is_up(viewer)
        await viewer.do("call", PAY, "press", {"currentTarget": {"dataset": {"action": "pay"}}})
        assert (await viewer.do("data", PAY))["state"] == "paid"
        await viewer.do("open", ME, {})
        mine = await viewer.sees(ME, lambda data: data["orders"], what="the order")
        assert mine["orders"][0]["status"] == "To be shipped"
        assert mine["name"].startswith("wechat-")


async def test_price_that_changed_under_the_buyer_is_shown_before_it_is_paid(built: Path, shop: Shop) -> None:
    async with phone(built, shop.nodes[0].http_url, "oSlow") as viewer:
        host = await asyncio.to_thread(Host, shop.nodes[0])
        product = (await host.goods())[5]["id"]
        await viewer.do("open", PRODUCT, {"room": "demo", "product": str(product)})
        before = await viewer.sees(PRODUCT, lambda data: data["unit"], what="the price")
        sku = before["skus"][0]
        dearer = {"id": sku["id"], "price_minor": sku["price_minor"] + 100}
        await host.call("PATCH", f"/products/{product}", {"skus": [dearer]})
        await viewer.do("call", PRODUCT, "order", {})
        after = await viewer.do("data", PRODUCT)
        assert "price has changed" in after["problem"]
        assert after["skus"][0]["price_minor"] == sku["price_minor"] + 100
        assert after["unit"] != before["unit"]
        await viewer.do("call", PRODUCT, "order", {})
        assert (await viewer.do("phone"))["went"][-1].startswith("/pages/pay/index?order=")


async def _gateway_is_up(viewer: Phone) -> None:
    """The sandbox starts beside the server; who comes too early is told so and presses again."""
    for _ in range(20):
        data = await viewer.sees(PAY, lambda data: data["state"] != "opening", what="the payment")
        if data["state"] == "sandbox":
            return
        assert "does not answer" in data["problem"]
        await asyncio.sleep(0.5)
        await viewer.do("call", PAY, "open", {})
    raise AssertionError("the sandbox gateway does not start")


async def test_two_nodes_a_redis_restart_sleep_and_a_cut_lose_no_card_and_no_word(built: Path, shop: Shop) -> None:
    first, second = shop.nodes
    async with phone(built, first.http_url, "oHere") as here, phone(built, second.http_url, "oThere") as there:
        for one in (here, there):
            await one.enter("demo")
            await one.do("open", ME, {})
            await one.do("call", ME, "signIn", {})  # both come back as themselves
        await _talk(here, there)
        host = await asyncio.to_thread(Host, first)
        await _asleep(here, there, host)
        await _cut_off(here, there, host)
        await shop.redis.stop()
        await asyncio.sleep(0.5)
        await shop.redis.start()
        await _talk_until_heard(here, there)
        for one in (here, there):
            assert (await one.do("phone"))["mostSockets"] == 1
            await _painted_in_measure(one)


async def _talk(here: Phone, there: Phone) -> None:
    await here.say("from here")
    await there.reads("from here")
    await there.say("from there")
    await here.reads("from there")


def pinned(title: str) -> Callable[[Any], object]:
    return lambda data: data["card"] and data["card"]["title"] == title and not data["banner"]


async def _asleep(here: Phone, there: Phone, host: Host) -> None:
    """A card is pinned and words are said while one phone is in a pocket."""
    await there.do("background")
    assert (await there.do("phone"))["sockets"] == 0
    goods = await host.goods()
    await host.pin(goods[2]["id"])
    await here.say("while you slept")
    await here.sees(ROOM, pinned(goods[2]["title"]), what="the card")
    await there.do("foreground")
    await there.sees(ROOM, pinned(goods[2]["title"]), what="the card after sleep")
    await there.reads("while you slept")


async def _cut_off(here: Phone, there: Phone, host: Host) -> None:
    """The phone loses its network, and its sockets with it."""
    await there.do("cut")
    await there.sees(ROOM, lambda data: "No network" in data["banner"], what="the banner")
    goods = await host.goods()
    await host.pin(goods[3]["id"])
    await here.say("while you were away")
    await there.do("mend")
    await there.sees(ROOM, pinned(goods[3]["title"]), what="the card after a cut")
    await there.reads("while you were away")
    data = await there.do("data", ROOM)
    assert texts(data).count("while you were away") == 1


async def _talk_until_heard(here: Phone, there: Phone) -> None:
    """What is said while Redis is not back yet is refused, to its author's face; then it works again."""
    for number in range(20):
        text = f"after the restart {number}"
        await here.say(text)
        try:
            await there.reads(text, within_s=2)
        except AssertionError:
            continue
        return
    raise AssertionError("the nodes do not hear each other again")


async def _painted_in_measure(one: Phone) -> None:
    """What the room tells is painted at most once in 200 ms."""
    told = {"lines", "likes", "online", "bullets", "card"}
    at_ms = [each["atMs"] for each in await one.do("painted", ROOM) if told & set(each["keys"])]
    gaps = [after - before for before, after in pairwise(at_ms)]
    assert len(gaps) > 5
    assert min(gaps) >= 190, gaps
