"""Two assistants pin at once over HTTP, in front of an audience on Socket.IO; then the server is started anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.interop.test_moderation import call, sign_in
from tests.support.server import RunningServer, start_server

DEMO = ("--demo", "--no-programme")
ROOM = "/rooms/demo"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("pinning")
    with start_server(folder, args=DEMO) as running:
        yield running


class Viewer:
    """A stock client that keeps every card and every piece of news."""

    def __init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection=False)
        self.welcome: dict[str, Any] = {}
        self.cards: list[dict[str, Any]] = []
        self.news: list[dict[str, Any]] = []
        self.client.on("card", self.cards.append)
        self.client.on("product", self.news.append)
        self.client.on("welcome", self._enter)

    def _enter(self, welcome: dict[str, Any]) -> None:
        self.welcome = welcome

    async def join(self, server: RunningServer) -> Viewer:
        await self.client.connect(server.http_url, auth={"room": "demo"}, transports=["websocket"], wait_timeout=10)
        await until(lambda: bool(self.welcome), "the welcome")
        return self

    def has(self, version: int) -> bool:
        return bool(self.cards) and self.cards[-1]["version"] == version


async def painted(server: RunningServer) -> list[int]:
    """The ids of the demo's goods, once all have their pictures: until then cards change by themselves."""
    async with asyncio.timeout(60):
        while True:
            items = (await ask(server, "GET", f"{ROOM}/products", ""))["items"]
            if len(items) == 6 and all(item["image"] for item in items):
                return [item["id"] for item in items]
            await asyncio.sleep(0.2)


async def until(holds: Any, what: str) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for comes from outside
            await asyncio.sleep(0.02)
    assert holds(), what


async def ask(server: RunningServer, method: str, path: str, token: str, body: object = None) -> Any:
    status, answer = await asyncio.to_thread(call, server, method, path, body=body, token=token)
    assert status in (200, 201), answer
    return answer


async def test_two_who_pin_at_once_show_everybody_one_card_which_outlives_the_process(server: RunningServer) -> None:
    host, assistant = sign_in(server, "host"), sign_in(server, "assistant")
    goods = await painted(server)
    viewers = [await Viewer().join(server) for _ in range(8)]
    try:
        for turn in range(5):
            pins = [
                ask(server, "PUT", f"{ROOM}/card", token, {"product_id": goods[place]})
                for token, place in ((host, turn % 3), (assistant, 3 + turn % 3))
            ]
            answers = await asyncio.gather(*pins)
            newest = max(answers, key=lambda card: int(card["version"]))
            version = newest["version"]
            await until(lambda wanted=version: all(viewer.has(wanted) for viewer in viewers), "one card")
            for viewer in viewers:
                assert viewer.cards[-1]["product"] == {
                    name: value for name, value in newest["product"].items() if name != "sale"
                }
                versions = [card["version"] for card in viewer.cards]
                assert versions == sorted(versions), "no card is followed by an older one"
        assert newest == (await ask(server, "GET", f"{ROOM}/products", ""))["card"]
        await asyncio.gather(*(viewer.client.disconnect() for viewer in viewers))
        server.stop()
        server.start(DEMO)
        late = await Viewer().join(server)
        card = late.welcome["card"]
        assert (card["version"], card["at_ms"], card["product"]["id"]) == (
            newest["version"],
            newest["at_ms"],
            newest["product"]["id"],
        )
        await ask(server, "DELETE", f"{ROOM}/card", host)
        await until(lambda: bool(late.cards) and late.cards[-1]["product"] is None, "no card")
        last = await Viewer().join(server)
        assert last.welcome["card"] is None
        await asyncio.gather(late.client.disconnect(), last.client.disconnect())
    finally:
        await asyncio.gather(*(viewer.client.disconnect() for viewer in viewers))


async def test_price_stock_and_flash_sale_reach_the_audience_and_those_who_come_later(server: RunningServer) -> None:
    host = sign_in(server, "host")
    product = (await ask(server, "GET", f"{ROOM}/products", ""))["items"][1]
    sku = product["skus"][0]
    await ask(server, "PUT", f"{ROOM}/card", host, {"product_id": product["id"]})
    viewer = await Viewer().join(server)
    try:
        change = {"skus": [{"id": sku["id"], "price_minor": 4_400, "stock": {"by": -50}}]}
        await ask(server, "PATCH", f"/products/{product['id']}", host, change)
        await until(lambda: bool(viewer.news) and viewer.news[-1]["price_minor"] == 4_400, "the new price")
        plan = {"sku_id": sku["id"], "price_minor": 1_900, "duration_s": 60, "quantity": 5, "buyer_limit": 1}
        sale = await ask(server, "POST", f"{ROOM}/sales", host, plan)
        await until(lambda: viewer.news[-1]["price_minor"] == 1_900, "the sale's price")
        told = viewer.news[-1]["sale"]
        assert (told["ends_at_ms"], told["limit"], told["left"]) == (sale["ends_at_ms"], 1, 5)
        late = await Viewer().join(server)
        shown = late.welcome["card"]["product"]
        assert (shown["price_minor"], shown["original_price_minor"]) == (1_900, 4_400)
        await late.client.disconnect()
        await ask(server, "POST", f"{ROOM}/sales/{sale['id']}/end", host)
        await until(lambda: viewer.news[-1]["sale"] is None, "the sale's end")
        assert viewer.news[-1]["price_minor"] == 4_400
        await until(lambda: bool(viewer.cards) and "sale" not in viewer.cards[-1]["product"], "the card after the sale")
    finally:
        await viewer.client.disconnect()


async def test_announced_sale_begins_by_itself(server: RunningServer) -> None:
    host = sign_in(server, "host")
    product = (await ask(server, "GET", f"{ROOM}/products", ""))["items"][0]
    viewer = await Viewer().join(server)
    try:
        plan = {"sku_id": product["skus"][0]["id"], "price_minor": 100, "duration_s": 60, "quantity": 5}
        sale = await ask(server, "POST", f"{ROOM}/sales", host, {**plan, "countdown_s": 10})
        await until(lambda: bool(viewer.news), "the announcement")
        assert viewer.news[-1]["sale"]["starts_at_ms"] == sale["starts_at_ms"]
        assert viewer.news[-1]["price_minor"] == product["price_minor"]
        await until(lambda: viewer.news[-1]["price_minor"] == 100, "the beginning")
        assert "starts_at_ms" not in viewer.news[-1]["sale"]
    finally:
        await viewer.client.disconnect()
