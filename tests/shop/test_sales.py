"""Flash sales, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.shop_tables import flash_sales
from streamd.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from streamd.shop.catalogue import ProductChange
from streamd.shop.sales import END, START, SalePlan
from tests.support.clock import FakeClock
from tests.support.shop import Shop, add_room

PLAN = SalePlan(sku_id=1, price_minor=4_900, duration_s=120, quantity=10, buyer_limit=2)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def shop(engine: AsyncEngine, clock: FakeClock) -> Shop:
    for slug, owner in (("demo", "host"), ("other", "host")):
        await add_room(engine, slug, owner=owner)
    return Shop(engine, clock)


@pytest.fixture
async def sku(shop: Shop) -> int:
    """Of a product at 99.00 that is pinned in `demo`, 50 of it."""
    (product,) = await shop.listed("Tea", price=9_900, stock=50)
    await shop.goods.shelf.pin("demo", product.id, by="host")
    shop.told.clear()
    return product.skus[0].id


def last(shop: Shop, event: str = "product") -> dict[str, Any]:
    return shop.told.of(event)[-1]


async def test_sale_that_begins_at_once_is_told_with_its_price_its_end_and_its_limit(
    shop: Shop, clock: FakeClock, sku: int
) -> None:
    sale = await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku), by="host")
    assert (sale.status, sale.starts_at_ms, sale.ends_at_ms) == ("running", clock.utc_ms(), clock.utc_ms() + 120_000)
    told = {
        "ends_at_ms": sale.ends_at_ms,
        "limit": 2,
        "id": sale.id,
        "sku_id": sku,
        "price_minor": 4_900,
        "left": 10,
    }
    assert (last(shop)["price_minor"], last(shop)["original_price_minor"], last(shop)["sale"]) == (4_900, 9_900, told)
    assert (last(shop, "card")["product"]["price_minor"], last(shop, "card")["product"]["sale"]) == (4_900, told)
    assert shop.jobs.due == {(END, str(sale.id)): sale.ends_at_ms}


async def test_announced_sale_counts_down_at_the_old_price_runs_and_ends(
    shop: Shop, clock: FakeClock, sku: int
) -> None:
    plan = replace(PLAN, sku_id=sku, countdown_s=30)
    sale = await shop.goods.sales.announce("demo", plan, by="host")
    assert (sale.status, last(shop)["price_minor"], last(shop)["sale"]["starts_at_ms"]) == (
        "announced",
        9_900,
        sale.starts_at_ms,
    )
    assert shop.jobs.due == {(START, str(sale.id)): sale.starts_at_ms, (END, str(sale.id)): sale.ends_at_ms}
    clock.advance(30_000)
    for _ in range(2):  # a job may be done twice
        await shop.goods.sales.start_due(str(sale.id), {})
        assert (last(shop)["price_minor"], "starts_at_ms" in last(shop)["sale"]) == (4_900, False)
    clock.advance(120_000)
    for _ in range(2):
        await shop.goods.sales.end_due(str(sale.id), {})
        assert (last(shop)["price_minor"], last(shop)["sale"]) == (9_900, None)
        assert "sale" not in last(shop, "card")["product"]
    (found,) = await shop.goods.sales.page("demo", limit=10)
    assert found.status == "ended"


async def test_job_that_comes_too_early_is_put_off(shop: Shop, clock: FakeClock, sku: int) -> None:
    sale = await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku, countdown_s=30), by="host")
    for job in (shop.goods.sales.start_due, shop.goods.sales.end_due):
        with pytest.raises(UnavailableError):
            await job(str(sale.id), {})
    (found,) = await shop.goods.sales.page("demo", limit=10)
    assert found.status == "announced"


async def test_end_is_enforced_by_time_where_nobody_does_the_job(shop: Shop, clock: FakeClock, sku: int) -> None:
    await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku), by="host")
    clock.advance(120_000)
    card = await shop.goods.shelf.card("demo")
    assert card.product is not None
    assert (card.product["price_minor"], "sale" in card.product) == (9_900, False)
    again = await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku), by="host")
    assert [(one.id == again.id, one.status) for one in await shop.goods.sales.page("demo", limit=10)] == [
        (True, "running"),
        (False, "ended"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"countdown_s": 9},
        {"countdown_s": 301},
        {"duration_s": 59},
        {"duration_s": 1_201},
        {"quantity": 0},
        {"buyer_limit": 0},
        {"price_minor": 0},
    ],
)
async def test_sale_beyond_its_bounds_is_refused(shop: Shop, sku: int, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidError):
        await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku, **wrong), by="host")
    assert (shop.told.facts, shop.jobs.due) == ([], {})


async def test_sale_must_undercut_and_promise_no_more_than_there_is(shop: Shop, sku: int) -> None:
    for wrong in ({"price_minor": 9_900}, {"quantity": 51}):
        with pytest.raises(ConflictError) as caught:
            await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku, **wrong), by="host")
        assert caught.value.code == "sale_unfit"


async def test_only_what_the_room_sells_now_is_put_on_sale(shop: Shop, sku: int) -> None:
    plan = replace(PLAN, sku_id=sku)
    with pytest.raises(ConflictError):
        await shop.goods.sales.announce("other", plan, by="host")
    (product, *_) = (await shop.goods.shelf.listing("demo")).wares
    await shop.goods.catalogue.change(product.product.id, ProductChange(values={"status": "sold_out"}))
    with pytest.raises(ConflictError):
        await shop.goods.sales.announce("demo", plan, by="host")
    for room, other in (("demo", replace(plan, sku_id=999)), ("nowhere", plan)):
        with pytest.raises(NotFoundError):
            await shop.goods.sales.announce(room, other, by="host")


async def test_of_those_who_put_a_sku_on_sale_at_once_one_does(shop: Shop, sku: int) -> None:
    plans = (shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku), by=f"a{n}") for n in range(5))
    results = await asyncio.gather(*plans, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ConflictError"] * 4 + ["Sale"]
    assert {result.code for result in results if isinstance(result, ConflictError)} == {"sale_stands"}


async def test_announced_sale_is_cancelled_and_a_running_one_is_ended(shop: Shop, clock: FakeClock, sku: int) -> None:
    sales = shop.goods.sales
    first = await sales.announce("demo", replace(PLAN, sku_id=sku, countdown_s=30), by="host")
    with pytest.raises(ConflictError, match="has not begun"):
        await sales.end("demo", first.id)
    for _ in range(2):
        assert (await sales.cancel("demo", first.id)).status == "cancelled"
    assert (last(shop)["price_minor"], last(shop)["sale"]) == (9_900, None)
    second = await sales.announce("demo", replace(PLAN, sku_id=sku), by="host")
    clock.advance(5_000)
    with pytest.raises(ConflictError, match="has begun"):
        await sales.cancel("demo", second.id)
    for _ in range(2):
        ended = await sales.end("demo", second.id)
        assert (ended.status, ended.ends_at_ms) == ("ended", clock.utc_ms())
    assert (last(shop)["price_minor"], last(shop)["sale"]) == (9_900, None)
    told = len(shop.told.facts)
    clock.advance(120_000)
    for sale in (first, second):
        await sales.start_due(str(sale.id), {})
        await sales.end_due(str(sale.id), {})
    assert len(shop.told.facts) == told, "who was told already is not told again"


async def test_sale_of_another_room_is_unknown(shop: Shop, sku: int) -> None:
    sale = await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku), by="host")
    for stop in (shop.goods.sales.cancel, shop.goods.sales.end):
        with pytest.raises(NotFoundError):
            await stop("other", sale.id)
    assert await shop.goods.sales.page("other", limit=10) == []


async def test_sold_out_sale_gives_way_to_the_skus_price(shop: Shop, sku: int) -> None:
    sale = await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku), by="host")
    async with shop.engine.begin() as connection:
        await connection.execute(update(flash_sales).where(flash_sales.c.id == sale.id).values(sold=10))
    card = await shop.goods.shelf.card("demo")
    assert card.product is not None
    assert (card.product["price_minor"], "sale" in card.product) == (9_900, False)


async def test_sales_are_paged_newest_first(shop: Shop, sku: int) -> None:
    for _ in range(3):
        sale = await shop.goods.sales.announce("demo", replace(PLAN, sku_id=sku), by="host")
        await shop.goods.sales.end("demo", sale.id)
    first = await shop.goods.sales.page("demo", limit=2)
    rest = await shop.goods.sales.page("demo", before=first[-1].id, limit=2)
    assert [one.id for one in (*first, *rest)] == [sale.id, sale.id - 1, sale.id - 2]
