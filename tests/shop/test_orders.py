"""Orders are placed, found, cancelled, expired and moved along, on both dialects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db import shop_tables as tables
from streamd.errors import ConflictError, ForbiddenError, NotFoundError, UnavailableError
from streamd.shop.orders import By, Order
from streamd.shop.placing import masked, new_number
from streamd.shop.till import TillSettings
from tests.shop.market import EXPIRY_MS, Market, add_sale, open_market
from tests.support.clock import FakeClock

BUYER = By(name="buyer1", parties=frozenset({"buyer"}))
HOST = By(name="host", parties=frozenset({"staff", "host"}))
ASSISTANT = By(name="ming", parties=frozenset({"staff"}))


@pytest.fixture
async def market(engine: AsyncEngine) -> AsyncIterator[Market]:
    async with open_market(engine) as market:
        yield market


async def test_an_order_takes_stock_and_costs_what_the_server_says(market: Market) -> None:
    order = await market.buy(count=3)
    assert (order.unit_price_minor, order.total_minor, order.currency) == (990, 2_970, "CNY")
    assert (order.status, order.title, order.room) == ("created", "Tea", "demo")
    assert order.expires_at_ms == market.clock.utc_ms() + EXPIRY_MS
    assert await market.stock() == 7
    found = await market.orders.get(order.number)
    assert found == order


async def test_an_order_is_told_to_the_room_with_its_buyer_masked_and_the_stock_that_is_left(market: Market) -> None:
    await market.buy(count=2)
    (bubble,) = await market.facts("order")
    assert bubble["room"] == "demo"
    assert '"buyer": "B***1"' in bubble["payload"]
    assert "Buyer 1" not in bubble["payload"]
    (product,) = await market.facts("product")
    assert '"stock": 8' in product["payload"]


async def test_a_refused_order_leaves_nothing_behind(market: Market) -> None:
    for wrong in (
        {"count": 11},
        {"sku": 77},
        {"expected": 5},
        {"room": "nowhere"},
    ):
        with pytest.raises((ConflictError, NotFoundError)):
            await market.buy(**wrong)
    for table in (tables.orders, tables.order_steps, tables.outbox, tables.jobs, tables.buyer_counts):
        assert await market.count(table) == 0
    assert await market.stock() == 10


async def test_another_price_than_expected_is_refused_with_the_new_one(market: Market) -> None:
    with pytest.raises(ConflictError, match="990") as caught:
        await market.buy(expected=500)
    assert caught.value.code == "price_changed"
    await market.buy(expected=990)


async def test_a_product_that_the_room_does_not_list_cannot_be_bought_there(market: Market) -> None:
    await market.write(tables.room_products.delete())
    with pytest.raises(NotFoundError):
        await market.buy()


@pytest.mark.parametrize("change", [{"status": "sold_out"}, {"status": "archived"}])
async def test_what_is_not_on_sale_cannot_be_bought(market: Market, change: dict[str, str]) -> None:
    await market.write(update(tables.products).values(change))
    with pytest.raises(ConflictError) as caught:
        await market.buy()
    assert caught.value.code == "not_on_sale"


async def test_one_key_places_one_order_however_often_it_comes(market: Market) -> None:
    first = await market.buy(key="tap", count=2)
    again = await market.buy(key="tap", count=2)
    assert again == first
    at_once = await asyncio.gather(*(market.buy(key="storm") for _ in range(20)))
    assert len({order.number for order in at_once}) == 1
    assert await market.stock() == 7


async def test_one_key_with_another_request_is_a_conflict(market: Market) -> None:
    await market.buy(key="tap", count=2)
    with pytest.raises(ConflictError) as caught:
        await market.buy(key="tap", count=3)
    assert caught.value.code == "idempotency_key_reused"
    outcomes = await asyncio.gather(
        market.buy(key="both", count=1), market.buy(key="both", count=2), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ConflictError", "Order"]
    # The same key in another buyer's hand is another key.
    assert (await market.buy(key="tap", buyer=2)).buyer_id == 2


async def test_two_hundred_buyers_at_once_on_fifty_items_buy_exactly_fifty(engine: AsyncEngine) -> None:
    async with open_market(engine, stock=50, buyers=200) as market:
        outcomes = await asyncio.gather(*(market.buy(buyer=n) for n in range(1, 201)), return_exceptions=True)
        bought = [outcome for outcome in outcomes if isinstance(outcome, Order)]
        refused = {outcome.code for outcome in outcomes if isinstance(outcome, ConflictError)}
        assert (len(bought), refused) == (50, {"sold_out"})
        assert await market.stock() == 0
        assert await market.count(tables.orders) == 50


async def test_a_buyer_gets_no_more_than_the_limit_of_a_sku(engine: AsyncEngine) -> None:
    async with open_market(engine, buyer_limit=3) as market:
        await market.buy(count=2)
        with pytest.raises(ConflictError) as caught:
            await market.buy(count=2)
        assert caught.value.code == "buyer_limit"
        last = await market.buy(count=1)
        await market.buy(buyer=2, count=3)
        # What is given back may be bought again.
        await market.orders.cancel(last.number, by=BUYER)
        await market.buy(count=1)
        at_once = await asyncio.gather(*(market.buy(buyer=3) for _ in range(10)), return_exceptions=True)
        assert sum(isinstance(outcome, Order) for outcome in at_once) == 3


async def test_a_flash_sale_sells_its_quantity_at_its_price_and_no_more(market: Market) -> None:
    await add_sale(market, quantity=3, buyer_limit=2)
    first = await market.buy(count=2)
    assert (first.unit_price_minor, first.sale_id) == (490, 1)
    with pytest.raises(ConflictError) as limited:
        await market.buy(count=1)
    assert limited.value.code == "buyer_limit"
    with pytest.raises(ConflictError) as gone:
        await market.buy(buyer=2, count=2)
    assert gone.value.code == "sale_sold_out"
    await market.buy(buyer=2, count=1)
    # Sold out, the sale is over: the next pays the usual price.
    assert (await market.buy(buyer=3)).unit_price_minor == 990
    assert await market.scalar(select(tables.flash_sales.c.sold)) == 3


async def test_an_expired_order_gives_back_stock_sale_and_count_exactly_once(market: Market) -> None:
    await add_sale(market, quantity=5, buyer_limit=4)
    order = await market.buy(count=4)
    assert not await market.orders.expire(order.number), "not before its time"
    clock = market.clock
    assert isinstance(clock, FakeClock)
    clock.advance(EXPIRY_MS)
    done = await asyncio.gather(*(market.orders.expire(order.number) for _ in range(8)), return_exceptions=True)
    assert done.count(True) == 1
    assert not await market.orders.expire(order.number)
    assert await market.stock() == 10
    assert await market.scalar(select(tables.flash_sales.c.sold)) == 0
    assert {row["n"] for row in await market.rows(select(tables.buyer_counts.c.count.label("n")))} == {0}
    history = await market.orders.history(await market.orders.get(order.number))
    assert [(step.status, step.actor) for step in history] == [("created", "buyer1"), ("cancelled", "expiry")]


async def test_cancelling_and_expiring_at_once_give_back_once(market: Market) -> None:
    order = await market.buy(count=4)
    clock = market.clock
    assert isinstance(clock, FakeClock)
    clock.advance(EXPIRY_MS)
    async with asyncio.TaskGroup() as group:
        expiring = group.create_task(market.orders.expire(order.number))
        cancelling = group.create_task(_whether(market.orders.cancel(order.number, by=BUYER)))
    assert [expiring.result(), cancelling.result()].count(True) == 1
    assert await market.stock() == 10


async def test_an_order_waits_for_its_expiry_as_a_job(market: Market) -> None:
    order = await market.buy()
    (job,) = await market.rows(select(tables.jobs))
    assert (job["kind"], job["subject"], job["due_at_ms"]) == ("order.expire", order.number, order.expires_at_ms)


async def test_steps_out_of_order_are_conflicts_and_by_others_forbidden(market: Market) -> None:
    order = await market.buy()
    with pytest.raises(ConflictError, match=r"created cannot become shipped"):
        await market.orders.ship(order.number, tracking="SF1", by=HOST)
    await market.write(update(tables.orders).values(status="paid"))
    with pytest.raises(ForbiddenError):
        await market.orders.ship(order.number, tracking="SF1", by=ASSISTANT)
    await market.orders.ship(order.number, tracking="SF1", by=HOST)
    with pytest.raises(ConflictError, match=r"shipped cannot become cancelled"):
        await market.orders.cancel(order.number, by=BUYER)
    await market.orders.complete(order.number, by=BUYER)
    done = await market.orders.get(order.number)
    assert (done.status, done.tracking) == ("completed", "SF1")
    assert [step.status for step in await market.orders.history(done)] == ["created", "shipped", "completed"]


async def test_orders_are_listed_newest_first_page_by_page(market: Market) -> None:
    mine = [await market.buy() for _ in range(3)]
    await market.buy(buyer=2)
    first = await market.orders.of_buyer(1, limit=2)
    rest = await market.orders.of_buyer(1, before=first[-1].id, limit=2)
    assert [order.number for order in first + rest] == [order.number for order in reversed(mine)]
    assert len(await market.orders.of_room("demo", limit=10)) == 4
    assert await market.orders.of_room("demo", status="paid", limit=10) == []
    assert await market.orders.of_room("other", limit=10) == []


async def test_a_line_that_is_full_sends_buyers_away(engine: AsyncEngine) -> None:
    async with open_market(engine, settings=TillSettings(line_count=5)) as market:
        outcomes = await asyncio.gather(*(market.buy() for _ in range(8)), return_exceptions=True)
        away = [outcome for outcome in outcomes if isinstance(outcome, UnavailableError)]
        assert (len(away), away[0].code) == (3, "orders_busy")


async def test_a_till_that_closes_tells_everybody_in_the_line(engine: AsyncEngine) -> None:
    async with open_market(engine) as market:
        waiting = asyncio.gather(*(market.buy() for _ in range(5)), return_exceptions=True)
        await asyncio.sleep(0)
    outcomes = await waiting
    assert {getattr(outcome, "code", "placed") for outcome in outcomes} <= {"orders_stopped", "placed"}


def test_numbers_of_orders_grow_with_time_and_are_not_counted_by() -> None:
    numbers = [new_number(1_800_000_000_000 + n) for n in range(100)]
    assert numbers == sorted(numbers)
    assert len({new_number(1_800_000_000_000) for _ in range(1_000)}) == 1_000
    assert {len(number) for number in numbers} == {20}


@pytest.mark.parametrize(("name", "shown"), [("Alice", "A***e"), ("李雷", "李***雷"), ("X", "X***"), ("", "***")])
def test_a_buyer_is_masked_to_two_letters(name: str, shown: str) -> None:
    assert masked(name) == shown


async def _whether(step: Awaitable[None]) -> bool:
    try:
        await step
    except ConflictError:
        return False
    return True
