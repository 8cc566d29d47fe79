"""A real node counts a real programme across a crash and until its end, and shows its picture."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from PIL import Image

from tests.interop.live import wait_on_air
from tests.support.encoder import clip, pushing
from tests.support.rooms import RawClient
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get

PRODUCT = {"title": "T恤", "skus": [{"price_minor": 1_990, "stock": 5}], "room": "demo"}


def ask(server: RunningServer, method: str, path: str, body: object = None, *, token: str = "") -> Any:
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.http_url}{path}", data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def sign_in(server: RunningServer, name: str) -> str:
    session = ask(server, "POST", "/api/v1/sessions", {"name": name, "password": "demo-password"})
    return str(session["access_token"])


def board(server: RunningServer, token: str) -> Any:
    return ask(server, "GET", "/api/v1/rooms/demo/board", token=token)


def pin(server: RunningServer, token: str) -> tuple[int, int]:
    """A product of ours in the room's list, and its card; its number and its SKU's."""
    made = ask(server, "POST", "/api/v1/products", PRODUCT, token=token)
    listed = [each["id"] for each in ask(server, "GET", "/api/v1/rooms/demo/products", token=token)["items"]]
    ask(server, "PUT", "/api/v1/rooms/demo/products", {"products": [*listed, made["id"]]}, token=token)
    ask(server, "PUT", "/api/v1/rooms/demo/card", {"product_id": made["id"]}, token=token)
    return int(made["id"]), int(made["skus"][0]["id"])


async def watch(server: RunningServer, host: str) -> tuple[int, int]:
    """Two people and their hearts, a card, a tap and an order."""
    alice = await RawClient.join(server.http_port, token=sign_in(server, "alice"))
    await alice.call("like", {"count": 4})
    product, sku = await asyncio.to_thread(pin, server, host)
    await alice.event("card")
    guest = await RawClient.join(server.http_port)
    await guest.call("like", {"count": 3})
    tap = {"product_id": product}

    def tapped() -> bool:
        try:
            ask(server, "POST", "/api/v1/rooms/demo/card/clicks", tap)
        except urllib.error.HTTPError as error:
            error.close()
            return False  # the list is looked up every two seconds
        return True

    await asyncio.to_thread(eventually, tapped, bool, what="the tap is taken")
    order = {"room": "demo", "sku_id": sku, "count": 2}
    await asyncio.to_thread(lambda: ask(server, "POST", "/api/v1/orders", order, token=sign_in(server, "alice")))
    await asyncio.to_thread(
        eventually,
        lambda: board(server, host),
        lambda seen: seen["peak"] >= 2 and seen["clicks"] == 1 and seen["orders"] == 1 and seen["viewers"] == 2,
        what="the board shows what happened",
    )
    for client in (alice, guest):
        await client.close()
    return product, sku


def test_programme_is_counted_across_a_crash_until_its_end(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        with pushing(f"{server.rtmp_url}/demo-key", clip(seconds=6)):
            wait_on_air(server.http_url)
            host = sign_in(server, "host")
            eventually(lambda: len(shows(server, host)), lambda count: count == 1, what="a show is there")
            product, _ = asyncio.run(watch(server, host))
            seen = board(server, host)
            assert (seen["likes"], seen["visits"], seen["exposures"]) == (7, 2, 2)
            (sold,) = [each for each in seen["products"] if each["orders"]]
            assert (sold["id"], sold["units"], sold["money"][0]["ordered_minor"]) == (product, 2, 3_980)
        server.kill()
        server.start(("--demo", "--no-programme"))
        host = sign_in(server, "host")
        with pushing(f"{server.rtmp_url}/demo-key", clip(seconds=6)):
            wait_on_air(server.http_url)
            eventually(lambda: shows(server, host), lambda found: found[0]["ended_at_ms"] is None, what="it goes on")
        server.end_programme("demo")
        (show,) = eventually(lambda: shows(server, host), lambda found: found[0]["ended_at_ms"], what="it ended")
        after = board(server, host)
        assert after["show"] == show
        assert {name: after[name] for name in ("likes", "orders", "viewers", "clicks")} == {
            name: seen[name] for name in ("likes", "orders", "viewers", "clicks")
        }
        answer = get(
            f"{server.http_url}/api/v1/rooms/demo/board.csv?lang=zh", headers={"Authorization": f"Bearer {host}"}
        )
        rows = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig"), newline="")))
        assert dict(zip(rows[0], rows[1], strict=True))["下单金额 (CNY)"] == "39.80"


def shows(server: RunningServer, host: str) -> list[Any]:
    found: list[Any] = ask(server, "GET", "/api/v1/rooms/demo/shows", token=host)["items"]
    return found


def test_room_shows_its_programme_as_its_cover_until_it_has_one(tmp_path: Path) -> None:
    with start_server(tmp_path) as server:
        cover = f"{server.http_url}/live/demo/cover.jpg"
        assert get(cover).status == 404
        with pushing(f"{server.rtmp_url}/demo-key", clip(size="640x360")):
            wait_on_air(server.http_url)
            answer = eventually(lambda: get(cover), lambda found: found.status == 200, what="a still")
            assert Image.open(io.BytesIO(answer.body)).size == (640, 360)
            host = sign_in(server, "host")
            made = ask(server, "POST", "/api/v1/rooms/demo/cover/frame", token=host)
        server.end_programme("demo")
        kept = get(cover)
        assert kept.status == 200
        assert kept.body == get(made["cover"]).body
