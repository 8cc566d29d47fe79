"""Every figure of the board is what a person counts who reads the tables with plain SQL."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.board.figures import Board, Figures, Sold
from streamd.errors import NotFoundError
from tests.board.stage import SHOW_MS, START_MS, busy_show, house, show, sql
from tests.support.clock import FakeClock

END_MS = START_MS + SHOW_MS
ORDERED = f"o.room_id = 1 AND o.placed_at_ms >= {START_MS} AND o.placed_at_ms < {END_MS}"
SAID = f"room = 'demo' AND status = 'shown' AND at_ms >= {START_MS} AND at_ms < {END_MS}"


async def number(engine: AsyncEngine, words: str) -> int:
    ((value,),) = await sql(engine, words)
    return int(value or 0)


async def counted(engine: AsyncEngine, seed: int) -> Figures:
    await busy_show(engine, seed=seed)
    return await Board(engine=engine, clock=FakeClock()).figures("demo", show_id=1)


@pytest.mark.parametrize("seed", [1, 2])
async def test_people_and_hearts_and_words(engine: AsyncEngine, seed: int) -> None:
    figures = await counted(engine, seed)
    assert figures.viewers == await number(engine, "SELECT COUNT(DISTINCT viewer) FROM visits")
    assert figures.visits == await number(engine, "SELECT COUNT(*) FROM visits")
    watched = 0
    for node, joined_ms, left_ms in await sql(engine, "SELECT node, joined_at_ms, left_at_ms FROM visits"):
        # A node that nobody has heard of cannot say how long they stayed.
        until_ms = left_ms or (START_MS + 500_000 if node == "n1" else joined_ms)
        watched += max(0, min(until_ms, END_MS) - joined_ms)
    assert figures.watch_ms == watched > 0
    assert figures.peak == await number(engine, "SELECT MAX(online_peak) FROM show_minutes")
    assert figures.likes == await number(engine, "SELECT SUM(likes) FROM show_minutes")
    assert figures.messages == await number(engine, f"SELECT COUNT(*) FROM danmaku WHERE {SAID}")
    assert sum(minute.came for minute in figures.minutes) == figures.visits
    assert sum(minute.messages for minute in figures.minutes) == figures.messages
    assert sum(minute.likes for minute in figures.minutes) == figures.likes
    assert max(minute.online_peak for minute in figures.minutes) == figures.peak


async def assert_sold(engine: AsyncEngine, sold: Sold, more: str) -> None:
    """`more` narrows the orders further."""
    where = f"FROM orders o WHERE {ORDERED} AND {more}"
    assert sold.orders == await number(engine, f"SELECT COUNT(*) {where}")
    assert sold.units == await number(engine, f"SELECT SUM(o.count) {where}")
    assert sold.buyers == await number(engine, f"SELECT COUNT(DISTINCT o.buyer_id) {where}")
    assert sold.paid_orders == await number(engine, f"SELECT COUNT(*) {where} AND o.paid_at_ms IS NOT NULL")
    given = (
        "FROM refunds r JOIN payments p ON p.id = r.payment_id JOIN orders o ON o.id = p.order_id"
        f" WHERE r.status = 'done' AND {ORDERED} AND {more}"
    )
    assert sold.refunds == await number(engine, f"SELECT COUNT(*) {given}")
    for currency in ("CNY", "JPY"):
        money, of = sold.in_currency(currency), f"AND o.currency = '{currency}'"
        assert money.ordered_minor == await number(engine, f"SELECT SUM(o.total_minor) {where} {of}")
        paid = f"SELECT SUM(o.total_minor) {where} {of} AND o.paid_at_ms IS NOT NULL"
        assert money.paid_minor == await number(engine, paid)
        assert money.refunded_minor == await number(engine, f"SELECT SUM(r.amount_minor) {given} {of}")


async def test_orders_and_money_of_the_whole_show(engine: AsyncEngine) -> None:
    figures = await counted(engine, 3)
    await assert_sold(engine, figures, "1 = 1")
    assert figures.exposures == await number(engine, "SELECT SUM(exposures) FROM card_minutes")
    assert figures.clicks == await number(engine, "SELECT SUM(clicks) FROM card_minutes")
    assert figures.orders > 20
    assert figures.refunds > 0


async def test_orders_and_money_by_product(engine: AsyncEngine) -> None:
    figures = await counted(engine, 4)
    assert [product.id for product in figures.products] == [1, 2, 3]
    for product in figures.products:
        assert product.title == f"商品 {product.id}"
        await assert_sold(engine, product, f"o.product_id = {product.id}")
        shown = f"FROM card_minutes WHERE product_id = {product.id}"
        assert product.exposures == await number(engine, f"SELECT SUM(exposures) {shown}")
        assert product.clicks == await number(engine, f"SELECT SUM(clicks) {shown}")


async def test_orders_and_money_by_minute(engine: AsyncEngine) -> None:
    figures = await counted(engine, 5)
    assert [minute.at_ms for minute in figures.minutes] == sorted({minute.at_ms for minute in figures.minutes})
    for minute in figures.minutes:
        assert minute.at_ms % 60_000 == 0
        inside = f"o.placed_at_ms >= {minute.at_ms} AND o.placed_at_ms < {minute.at_ms + 60_000}"
        await assert_sold(engine, minute, inside)
        shown = f"FROM card_minutes WHERE minute_ms = {minute.at_ms}"
        assert minute.exposures == await number(engine, f"SELECT SUM(exposures) {shown}")


async def test_show_that_runs_is_counted_until_now(engine: AsyncEngine) -> None:
    await house(engine)
    await show(engine, ended=False)
    clock = FakeClock(utc_ms=START_MS + 60_000)
    figures = await Board(engine=engine, clock=clock).figures("demo", show_id=None)
    assert (figures.show.ended_at_ms, figures.show.until_ms) == (None, START_MS + 60_000)
    assert (figures.viewers, figures.orders, figures.products, figures.minutes) == (0, 0, [], [])


async def test_newest_show_is_shown_unless_another_is_asked_for(engine: AsyncEngine) -> None:
    await house(engine)
    for _ in range(3):
        await show(engine)
    board = Board(engine=engine, clock=FakeClock())
    assert (await board.figures("demo", show_id=None)).show.id == 3
    assert (await board.figures("demo", show_id=2)).show.id == 2
    assert [each.id for each in await board.shows("demo", before=3, limit=5)] == [2, 1]
    for room, number_ in (("other", 2), ("other", None), ("demo", 9)):
        with pytest.raises(NotFoundError):
            await board.figures(room, show_id=number_)
    with pytest.raises(NotFoundError):
        await board.shows("nowhere", before=9, limit=5)
