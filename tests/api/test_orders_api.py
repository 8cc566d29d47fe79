"""Orders over HTTP: who may do what to which order, and what of it they see."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from streamd.db import shop_tables as tables
from streamd.db.tables import audit_log
from tests.api.support import Client, Stage, body_of

ORDERS = "/api/v1/orders"
SHIPPING = {"recipient": "王小明", "phone": "+86 138 0013 8000", "address": "南京路 1 号\n上海"}


@pytest.fixture(autouse=True)
async def market(stage: Stage) -> AsyncIterator[None]:
    """Room `demo` sells SKU 1; the till runs."""
    product = {"owner": "host", "title": "Tea", "description": "", "image": None, "currency": "CNY", "version": 1}
    times = {"status": "active", "created_at_ms": 0, "updated_at_ms": 0}
    sku = {"product_id": 1, "name": "", "price_minor": 990, "original_price_minor": None, "stock": 10}
    async with stage.engine.begin() as connection:
        await connection.execute(insert(tables.products).values(product | times))
        await connection.execute(insert(tables.skus).values(sku | {"buyer_limit": 8, "position": 1, "is_offered": 1}))
        await connection.execute(insert(tables.room_products).values(room_id=1, product_id=1, position=1))
    async with asyncio.TaskGroup() as group:
        till = group.create_task(stage.selling.till.run())
        yield
        till.cancel()
        with suppress(asyncio.CancelledError):
            await till


async def order(stage: Stage, client: Client, *, by: str = "viewer", key: str = "", **body: Any) -> tuple[int, Any]:
    headers = {**await stage.sign_in(by), "Idempotency-Key": key or str(uuid.uuid4())}
    wanted = {"room": "demo", "sku_id": 1, "count": 2, "shipping": SHIPPING} | body
    return await body_of(client, "POST", ORDERS, json=wanted, headers=headers)


async def move(stage: Stage, client: Client, number: str, step: str, by: str, **body: Any) -> tuple[int, Any]:
    headers = await stage.sign_in(by)
    options = {} if step == "complete" else {"json": body}
    return await body_of(client, "POST", f"{ORDERS}/{number}/{step}", headers=headers, **options)


async def force(stage: Stage, status: str) -> None:
    async with stage.engine.begin() as connection:
        await connection.execute(update(tables.orders).values(status=status))


async def test_an_order_is_answered_with_its_price_history_and_next_steps(stage: Stage, client: Client) -> None:
    status, made = await order(stage, client)
    assert (status, made["status"], made["total_minor"], made["buyer"]) == (201, "created", 1_980, "viewer")
    assert (made["next"], [step["status"] for step in made["history"]]) == (["paying", "cancelled"], ["created"])
    assert made["shipping"] == SHIPPING
    status, seen = await body_of(client, "GET", f"{ORDERS}/{made['order']}", headers=await stage.sign_in("viewer"))
    assert (status, seen) == (200, made)


async def test_an_order_without_an_idempotency_key_is_refused(stage: Stage, client: Client) -> None:
    wanted = {"room": "demo", "sku_id": 1}
    status, problem = await body_of(client, "POST", ORDERS, json=wanted, headers=await stage.sign_in("viewer"))
    assert (status, problem["code"]) == (400, "idempotency_key")


async def test_the_same_key_gives_the_same_order_and_another_wish_under_it_a_conflict(
    stage: Stage, client: Client
) -> None:
    _, first = await order(stage, client, key="tap")
    assert await order(stage, client, key="tap") == (201, first)
    # Bodies that differ in their bytes and mean the same are the same.
    assert (await order(stage, client, key="tap", expected_unit_price_minor=None))[1] == first
    status, problem = await order(stage, client, key="tap", count=3)
    assert (status, problem["code"]) == (409, "idempotency_key_reused")
    assert (await order(stage, client, key="tap", by="rival"))[0] == 201


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"expected_unit_price_minor": 100}, 409, "price_changed"),
        ({"count": 9}, 409, "buyer_limit"),
        ({"count": 11}, 409, "sold_out"),
        ({"sku_id": 99}, 404, None),
        ({"room": "other"}, 404, "sku_unknown"),
        ({"count": 0}, 400, "body"),
        ({"count": "2"}, 400, "body"),
        ({"price_minor": 1}, 400, "body"),
        ({"shipping": {"recipient": "x"}}, 400, "body"),
    ],
)
async def test_what_cannot_be_ordered_says_why(
    stage: Stage, client: Client, wish: dict[str, Any], status: int, code: str | None
) -> None:
    found, problem = await order(stage, client, **wish)
    assert found == status
    assert code is None or problem["code"] == code


@pytest.mark.parametrize(
    ("name", "sees", "sees_shipping"),
    [
        ("viewer", True, True),
        ("host", True, True),
        ("admin", True, True),
        ("assistant", True, False),
        ("moderator", False, False),
        ("rival", False, False),
    ],
)
async def test_an_order_is_seen_by_its_buyer_and_staff_and_its_address_by_buyer_and_host(
    stage: Stage, client: Client, name: str, sees: bool, sees_shipping: bool
) -> None:
    _, made = await order(stage, client)
    status, seen = await body_of(client, "GET", f"{ORDERS}/{made['order']}", headers=await stage.sign_in(name))
    assert status == (200 if sees else 404)
    assert (seen.get("shipping") == SHIPPING) is sees_shipping
    if not sees_shipping:
        assert "0013 8000" not in str(seen)


async def test_addresses_are_sealed_in_the_database(stage: Stage, client: Client) -> None:
    await order(stage, client)
    async with stage.engine.connect() as connection:
        sealed = await connection.scalar(select(tables.orders.c.shipping_sealed))
    assert sealed
    assert not any(word in sealed for word in ("0013 8000", "王小明", "recipient"))


MAY = {
    ("created", "cancel"): {"viewer", "assistant", "host", "admin"},
    ("paid", "ship"): {"host", "admin"},
    ("shipped", "complete"): {"viewer", "host", "admin"},
}


@pytest.mark.parametrize("name", ["viewer", "moderator", "assistant", "host", "rival", "admin"])
@pytest.mark.parametrize(("status", "step"), sorted(MAY))
async def test_each_step_is_for_whom_it_is_meant(
    stage: Stage, client: Client, name: str, status: str, step: str
) -> None:
    _, made = await order(stage, client)
    await force(stage, status)
    found, answer = await move(stage, client, made["order"], step, name)
    is_known = name in ("viewer", "assistant", "host", "admin")
    assert found == (200 if name in MAY[status, step] else 403 if is_known else 404), answer


@pytest.mark.parametrize(("step", "wanted"), [("cancel", "cancelled"), ("ship", "shipped"), ("refund", "refunding")])
async def test_a_step_that_does_not_follow_is_a_conflict_that_names_both_states(
    stage: Stage, client: Client, step: str, wanted: str
) -> None:
    _, made = await order(stage, client)
    await force(stage, "refunded")
    status, problem = await move(stage, client, made["order"], step, "host")
    assert (status, problem["code"]) == (409, "order_state")
    assert ("refunded" in problem["detail"], wanted in problem["detail"]) == (True, True)


async def test_what_staff_do_to_an_order_is_recorded_and_what_buyers_do_is_not(stage: Stage, client: Client) -> None:
    _, first = await order(stage, client)
    _, second = await order(stage, client)
    await move(stage, client, first["order"], "cancel", "viewer")
    await move(stage, client, second["order"], "cancel", "assistant", reason="asked by phone")
    async with stage.engine.connect() as connection:
        query = select(audit_log).where(audit_log.c.action.startswith("order."))
        (deed,) = (await connection.execute(query)).all()
    assert (deed.action, deed.actor, deed.role, deed.room, deed.target) == (
        "order.cancel",
        "assistant",
        "assistant",
        "demo",
        second["order"],
    )


async def test_orders_are_listed_for_their_buyer_and_for_the_room(stage: Stage, client: Client) -> None:
    made = [(await order(stage, client, count=1))[1]["order"] for _ in range(3)]
    await order(stage, client, by="rival", count=1)
    viewer, host = await stage.sign_in("viewer"), await stage.sign_in("host")
    _, page = await body_of(client, "GET", f"{ORDERS}?limit=2", headers=viewer)
    _, rest = await body_of(client, "GET", f"{ORDERS}?limit=2&cursor={page['next_cursor']}", headers=viewer)
    assert [item["order"] for item in page["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert all("shipping" not in item for item in page["items"])
    _, room = await body_of(client, "GET", "/api/v1/rooms/demo/orders?status=created", headers=host)
    assert len(room["items"]) == 4


@pytest.mark.parametrize("number", ["1", "%E2%82%AC", "0" * 20, "x' OR 1=1", "01M7XRBRR2V9CJP43JF9A"])
async def test_a_number_that_is_none_is_not_found(stage: Stage, client: Client, number: str) -> None:
    status, problem = await body_of(client, "GET", f"{ORDERS}/{number}", headers=await stage.sign_in("admin"))
    assert (status, problem["code"]) == (404, "order_unknown")


async def test_without_a_gateway_paying_is_a_clear_conflict_and_its_notices_are_not_found(
    stage: Stage, client: Client
) -> None:
    _, made = await order(stage, client)
    headers = await stage.sign_in("viewer")
    status, problem = await body_of(client, "POST", f"{ORDERS}/{made['order']}/payments", json={}, headers=headers)
    assert (status, problem["code"]) == (409, "payment_off")
    status, problem = await body_of(client, "POST", "/api/v1/payments/sandbox/notify", json={})
    assert (status, problem["code"]) == (404, "gateway_unknown")
    admin = await stage.sign_in("admin")
    status, _ = await body_of(client, "GET", "/api/v1/payments/sandbox/reconciliation?day=2026-11-21", headers=admin)
    assert status == 404
