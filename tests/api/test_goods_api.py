"""Goods over HTTP: the catalogue, the show's list, the card, flash sales."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from PIL import Image

from tests.api.support import Client, Stage, body_of

PRODUCTS, ROOM = "/api/v1/products", "/api/v1/rooms/demo"
TEA = {"title": "龙井茶 · Longjing tea", "skus": [{"price_minor": 9_900, "stock": 250}]}


async def make(stage: Stage, client: Client, *, by: str = "host", **more: Any) -> dict[str, Any]:
    status, made = await body_of(client, "POST", PRODUCTS, headers=await stage.sign_in(by), json={**TEA, **more})
    assert status == 201, made
    product: dict[str, Any] = made
    return product


async def sell(stage: Stage, client: Client, *ids: int) -> None:
    body = {"products": list(ids)}
    status, listing = await body_of(
        client, "PUT", f"{ROOM}/products", headers=await stage.sign_in("assistant"), json=body
    )
    assert status == 200, listing


async def test_assistant_makes_goods_of_the_rooms_owner_which_everybody_may_look_at(
    stage: Stage, client: Client
) -> None:
    skus = [{"name": "100 g", "price_minor": 9_900, "original_price_minor": 12_900, "stock": 250, "buyer_limit": 3}]
    made = await make(stage, client, by="assistant", room="demo", skus=skus, description="Spring\nharvest")
    assert (made["owner"], made["version"], made["stock"], made["image"]) == ("host", 1, 250, None)
    status, seen = await body_of(client, "GET", f"{PRODUCTS}/{made['id']}")
    assert (status, seen["price_minor"], seen["original_price_minor"], seen["currency"]) == (200, 9_900, 12_900, "CNY")
    assert (seen["skus"][0]["name"], seen["skus"][0]["buyer_limit"], seen["sale"]) == ("100 g", 3, None)


async def test_stock_is_exact_for_those_who_sell_and_in_steps_for_others(stage: Stage, client: Client) -> None:
    made = await make(stage, client, skus=[{"price_minor": 100, "stock": 257}])
    path = f"{PRODUCTS}/{made['id']}"
    for name, stock in (("host", 257), ("assistant", 257), ("admin", 257), ("viewer", 250), ("rival", 250)):
        _, seen = await body_of(client, "GET", path, headers=await stage.sign_in(name))
        assert (seen["stock"], seen["skus"][0]["stock"]) == (stock, stock), name


@pytest.mark.parametrize(
    ("by", "room", "code"),
    [
        ("viewer", None, "role_required"),
        ("assistant", None, "role_required"),
        ("moderator", "demo", "role_required"),
        ("rival", "demo", "role_required"),
        ("host", "nowhere", "room_unknown"),
    ],
)
async def test_goods_are_made_by_those_who_may_sell_them(
    stage: Stage, client: Client, by: str, room: str | None, code: str
) -> None:
    body = {**TEA, "room": room}
    status, problem = await body_of(client, "POST", PRODUCTS, headers=await stage.sign_in(by), json=body)
    assert (status in (403, 404), problem["code"]) == (True, code)


@pytest.mark.parametrize("by", ["viewer", "moderator", "rival"])
async def test_goods_of_others_are_not_changed(stage: Stage, client: Client, by: str) -> None:
    made = await make(stage, client)
    headers = await stage.sign_in(by)
    path = f"{PRODUCTS}/{made['id']}"
    status, _ = await body_of(client, "PATCH", path, headers=headers, json={"title": "Mine"})
    assert status == 403
    assert (await body_of(client, "PUT", f"{path}/image", headers=headers, data=b"x"))[0] == 403
    assert (await body_of(client, "DELETE", f"{path}/image", headers=headers))[0] == 403
    assert (await body_of(client, "GET", f"{PRODUCTS}?room=demo", headers=headers))[0] == 403
    assert (await body_of(client, "GET", path))[1]["title"] == TEA["title"]


async def test_price_stock_and_words_are_changed_inline(stage: Stage, client: Client) -> None:
    made = await make(stage, client)
    sku, path = made["skus"][0]["id"], f"{PRODUCTS}/{made['id']}"
    headers = await stage.sign_in("assistant")
    body = {
        "version": 1,
        "title": "Green tea",
        "skus": [{"id": sku, "price_minor": 8_800, "original_price_minor": 9_900, "stock": {"by": 5}}],
        "new_skus": [{"name": "Tin", "price_minor": 19_900, "stock": 10}],
    }
    status, changed = await body_of(client, "PATCH", path, headers=headers, json=body)
    assert (status, changed["version"], changed["title"], changed["stock"]) == (200, 2, "Green tea", 265)
    assert (changed["price_minor"], changed["original_price_minor"], len(changed["skus"])) == (8_800, 9_900, 2)
    body = {"skus": [{"id": sku, "original_price_minor": None, "stock": {"to": 300, "seen": 255}}]}
    _, changed = await body_of(client, "PATCH", path, headers=headers, json=body)
    assert (changed["original_price_minor"], changed["skus"][0]["stock"]) == (None, 300)
    status, problem = await body_of(client, "PATCH", path, headers=headers, json={"version": 1, "title": "Red"})
    assert (status, problem["code"]) == (409, "version_stale")
    assert "Green tea" in problem["detail"]
    entries = await stage.accounts.audit.page(limit=20)
    assert {"product.create", "product.change", "product.change.failed"} <= {entry.action for entry in entries}


async def test_own_goods_are_listed_by_page_and_by_words(stage: Stage, client: Client) -> None:
    for title in ("Tea", "Cup", "Teapot"):
        await make(stage, client, title=title)
    headers = await stage.sign_in("assistant")
    seen: list[str] = []
    cursor = 0
    while cursor is not None:
        path = f"{PRODUCTS}?room=demo&limit=2&cursor={cursor}"
        _, page = await body_of(client, "GET", path, headers=headers)
        seen += [item["title"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["Teapot", "Cup", "Tea"]
    _, page = await body_of(client, "GET", f"{PRODUCTS}?room=demo&q=tea", headers=headers)
    assert [item["title"] for item in page["items"]] == ["Teapot", "Tea"]
    _, page = await body_of(client, "GET", PRODUCTS, headers=headers)
    assert page["items"] == [], "an assistant has no goods of their own"


async def test_picture_is_made_ours_and_taken_off(stage: Stage, client: Client) -> None:
    made = await make(stage, client)
    path, headers = f"{PRODUCTS}/{made['id']}", await stage.sign_in("host")
    out = io.BytesIO()
    Image.new("RGBA", (2_000, 1_000), "#30a050").save(out, "PNG")
    status, shown = await body_of(client, "PUT", f"{path}/image", headers=headers, data=out.getvalue())
    assert (status, shown["image"].startswith("/pictures/")) == (200, True)
    async with client.get(shown["image"]) as answer:
        assert (answer.status, answer.content_type) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(await answer.read())).size == (1_280, 640)
    assert (await body_of(client, "PUT", f"{path}/image", headers=headers, data=b"no picture"))[0] == 400
    assert (await body_of(client, "DELETE", f"{path}/image", headers=headers))[0] == 204
    assert (await body_of(client, "GET", path))[1]["image"] is None


async def test_what_is_put_away_is_gone_for_all_but_those_who_sell_it(stage: Stage, client: Client) -> None:
    made = await make(stage, client)
    path, headers = f"{PRODUCTS}/{made['id']}", await stage.sign_in("host")
    assert (await body_of(client, "PATCH", path, headers=headers, json={"status": "archived"}))[0] == 200
    assert (await body_of(client, "GET", path))[0] == 404
    assert (await body_of(client, "GET", path, headers=headers))[1]["status"] == "archived"


@pytest.mark.parametrize("name", ["0", "999", "x", "1" * 17, "9" * 16, "-1", "%31%30%30"])
async def test_product_that_is_none_is_not_found(client: Client, name: str) -> None:
    assert (await body_of(client, "GET", f"{PRODUCTS}/{name}"))[0] == 404


async def test_list_is_put_in_order_and_read_by_everybody(stage: Stage, client: Client) -> None:
    tea, cup = await make(stage, client), await make(stage, client, title="Cup")
    await sell(stage, client, cup["id"], tea["id"])
    _, listing = await body_of(client, "GET", f"{ROOM}/products")
    assert [item["id"] for item in listing["items"]] == [cup["id"], tea["id"]]
    assert (listing["version"], listing["card"]["product"], listing["room"]) == (1, None, "demo")
    headers = await stage.sign_in("host")
    body = {"products": [tea["id"], tea["id"]]}
    assert (await body_of(client, "PUT", f"{ROOM}/products", headers=headers, json=body))[0] == 400
    body = {"products": [tea["id"]], "version": 0}
    assert (await body_of(client, "PUT", f"{ROOM}/products", headers=headers, json=body))[0] == 409
    assert (await body_of(client, "GET", "/api/v1/rooms/nowhere/products"))[0] == 404


async def test_card_is_pinned_and_taken_away_with_versions(stage: Stage, client: Client) -> None:
    tea, cup = await make(stage, client), await make(stage, client, title="Cup")
    await sell(stage, client, tea["id"])
    headers = await stage.sign_in("assistant")
    status, card = await body_of(client, "PUT", f"{ROOM}/card", headers=headers, json={"product_id": tea["id"]})
    assert (status, card["version"], card["by"], card["product"]["id"]) == (200, 1, "assistant", tea["id"])
    _, listing = await body_of(client, "GET", f"{ROOM}/products")
    assert listing["card"] == card
    status, problem = await body_of(client, "PUT", f"{ROOM}/card", headers=headers, json={"product_id": cup["id"]})
    assert (status, problem["code"]) == (409, "product_unlisted")
    assert (await body_of(client, "DELETE", f"{ROOM}/card?version=0", headers=headers))[0] == 409
    for _ in range(2):
        status, card = await body_of(client, "DELETE", f"{ROOM}/card", headers=headers)
        assert (status, card["version"], card["product"]) == (200, 2, None)
    actions = [entry.action for entry in await stage.accounts.audit.page(room="demo", limit=20)]
    assert {"room.products.put", "room.card.pin", "room.card.unpin"} <= set(actions)


async def test_pin_that_is_sent_again_with_its_key_is_answered_as_before(stage: Stage, client: Client) -> None:
    tea, cup = await make(stage, client), await make(stage, client, title="Cup")
    await sell(stage, client, tea["id"], cup["id"])
    headers = {**await stage.sign_in("assistant"), "Idempotency-Key": "pin-1"}
    body = {"product_id": tea["id"]}
    _, first = await body_of(client, "PUT", f"{ROOM}/card", headers=headers, json=body)
    other = await stage.sign_in("host")
    await body_of(client, "PUT", f"{ROOM}/card", headers=other, json={"product_id": cup["id"]})
    _, again = await body_of(client, "PUT", f"{ROOM}/card", headers=headers, json=body)
    assert again == first
    assert (await body_of(client, "GET", f"{ROOM}/products"))[1]["card"]["product"]["id"] == cup["id"]


async def test_two_who_pin_at_once_are_both_answered_and_see_one_card(stage: Stage, client: Client) -> None:
    tea, cup = await make(stage, client), await make(stage, client, title="Cup")
    await sell(stage, client, tea["id"], cup["id"])
    one, other = await stage.sign_in("assistant"), await stage.sign_in("host")
    answers = await asyncio.gather(
        body_of(client, "PUT", f"{ROOM}/card", headers=one, json={"product_id": tea["id"]}),
        body_of(client, "PUT", f"{ROOM}/card", headers=other, json={"product_id": cup["id"]}),
    )
    assert [status for status, _ in answers] == [200, 200]
    cards = sorted((card for _, card in answers), key=lambda card: int(card["version"]))
    assert [card["version"] for card in cards] == [1, 2]
    assert (await body_of(client, "GET", f"{ROOM}/products"))[1]["card"] == cards[-1]


async def test_flash_sale_is_announced_seen_cancelled_begun_and_ended(stage: Stage, client: Client) -> None:
    tea = await make(stage, client)
    await sell(stage, client, tea["id"])
    headers = await stage.sign_in("assistant")
    plan = {"sku_id": tea["skus"][0]["id"], "price_minor": 4_900, "duration_s": 60, "quantity": 20, "buyer_limit": 1}
    path = f"{ROOM}/sales"
    status, sale = await body_of(client, "POST", path, headers=headers, json={**plan, "countdown_s": 30})
    assert (status, sale["status"], sale["created_by"]) == (201, "announced", "assistant")
    _, seen = await body_of(client, "GET", f"{PRODUCTS}/{tea['id']}")
    assert (seen["price_minor"], seen["sale"]["starts_at_ms"], seen["sale"]["limit"]) == (
        9_900,
        sale["starts_at_ms"],
        1,
    )
    assert (await body_of(client, "POST", path, headers=headers, json=plan))[1]["code"] == "sale_stands"
    assert (await body_of(client, "POST", f"{path}/{sale['id']}/end", headers=headers))[0] == 409
    status, sale = await body_of(client, "POST", f"{path}/{sale['id']}/cancel", headers=headers)
    assert (status, sale["status"]) == (200, "cancelled")
    _, sale = await body_of(client, "POST", path, headers=headers, json=plan)
    _, seen = await body_of(client, "GET", f"{PRODUCTS}/{tea['id']}")
    assert (seen["price_minor"], seen["original_price_minor"], seen["sale"]["left"]) == (4_900, 9_900, 20)
    assert (seen["skus"][0]["base_price_minor"], seen["sale"]["starts_at_ms"]) == (9_900, None)
    status, sale = await body_of(client, "POST", f"{path}/{sale['id']}/end", headers=headers)
    assert (status, sale["status"]) == (200, "ended")
    _, page = await body_of(client, "GET", f"{path}?limit=1", headers=headers)
    assert ([one["status"] for one in page["items"]], page["next_cursor"]) == (["ended"], sale["id"])
    for tail in ("999/end", "x/cancel"):
        assert (await body_of(client, "POST", f"{path}/{tail}", headers=headers))[0] == 404


@pytest.mark.parametrize(
    "wrong", [{"countdown_s": 0}, {"countdown_s": 301}, {"duration_s": 1}, {"quantity": 0}, {"price_minor": 0}]
)
async def test_flash_sale_beyond_its_bounds_is_refused(stage: Stage, client: Client, wrong: dict[str, int]) -> None:
    plan = {"sku_id": 1, "price_minor": 1, "duration_s": 60, "quantity": 1, **wrong}
    status, _ = await body_of(client, "POST", f"{ROOM}/sales", headers=await stage.sign_in("host"), json=plan)
    assert status == 400
