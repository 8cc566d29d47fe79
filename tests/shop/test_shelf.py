"""The show's list and the card, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.shop_tables import skus
from streamd.errors import ConflictError, InvalidError, NotFoundError
from streamd.shop.catalogue import ProductChange, SkuChange, StockBy
from streamd.shop.stock import hold
from tests.support.clock import FakeClock
from tests.support.shop import Shop, add_room


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def shop(engine: AsyncEngine, clock: FakeClock) -> Shop:
    for slug, owner in (("demo", "host"), ("other", "host"), ("theirs", "rival")):
        await add_room(engine, slug, owner=owner)
    return Shop(engine, clock)


async def titles(shop: Shop, room: str = "demo") -> list[str]:
    return [ware.product.title for ware in (await shop.goods.shelf.listing(room)).wares]


async def test_room_that_sells_nothing_has_an_empty_list_and_no_card(shop: Shop) -> None:
    listing = await shop.goods.shelf.listing("demo")
    assert (listing.version, listing.wares) == (0, ())
    assert (listing.card.version, listing.card.product, listing.card.by) == (0, None, "")


async def test_list_is_in_the_order_it_was_put_and_the_room_is_told_that_it_changed(shop: Shop) -> None:
    tea, cup = await shop.product("Tea"), await shop.product("Cup")
    listing = await shop.goods.shelf.put("demo", [cup.id, tea.id], by="host")
    assert (listing.version, await titles(shop)) == (1, ["Cup", "Tea"])
    await shop.goods.shelf.put("demo", [tea.id, cup.id], by="host", version=1)
    assert await titles(shop) == ["Tea", "Cup"]
    assert shop.told.of("shelf") == [{"version": 1, "count": 2}, {"version": 2, "count": 2}]


async def test_same_list_again_changes_nothing(shop: Shop) -> None:
    tea = await shop.product("Tea")
    for _ in range(2):
        assert (await shop.goods.shelf.put("demo", [tea.id], by="host")).version == 1
    assert len(shop.told.of("shelf")) == 1


async def test_list_made_from_an_older_one_is_refused(shop: Shop) -> None:
    tea, cup = await shop.listed("Tea", "Cup")
    with pytest.raises(ConflictError) as caught:
        await shop.goods.shelf.put("demo", [cup.id], by="host", version=0)
    assert (caught.value.code, await titles(shop)) == ("version_stale", ["Tea", "Cup"])
    assert tea.id


async def test_list_that_cannot_be_is_refused_whole(shop: Shop) -> None:
    tea, theirs = await shop.product("Tea"), await shop.product("Silk", owner="rival")
    away = await shop.product("Old")
    await shop.goods.catalogue.change(away.id, ProductChange(values={"status": "archived"}))
    for ids, error in (
        ([tea.id, tea.id], InvalidError),
        ([tea.id, 999], NotFoundError),
        ([tea.id, theirs.id], ConflictError),
        ([tea.id, away.id], ConflictError),
    ):
        with pytest.raises(error):
            await shop.goods.shelf.put("demo", ids, by="host")
    with pytest.raises(NotFoundError):
        await shop.goods.shelf.put("nowhere", [tea.id], by="host")
    assert (await titles(shop), shop.told.facts) == ([], [])


async def test_own_goods_are_sold_in_anybodys_room_where_one_helps(shop: Shop) -> None:
    silk = await shop.product("Silk", owner="ming")
    await shop.goods.shelf.put("demo", [silk.id], by="ming")
    cup = await shop.product("Cup")
    await shop.goods.shelf.put("demo", [silk.id, cup.id], by="host")
    assert await titles(shop) == ["Silk", "Cup"]


async def test_card_is_told_as_the_contract_has_it(shop: Shop, clock: FakeClock) -> None:
    (product,) = await shop.listed("Tea", price=9_900, original_price_minor=12_900, stock=1_234)
    await shop.goods.catalogue.change(product.id, ProductChange(values={"image": "ab" * 16}))
    shop.told.clear()
    card = await shop.goods.shelf.pin("demo", product.id, by="ming")
    assert (card.version, card.at_ms, card.by) == (1, clock.utc_ms(), "ming")
    assert shop.told.facts == [
        (
            "demo",
            "card",
            {
                "version": 1,
                "at_ms": clock.utc_ms(),
                "product": {
                    "id": product.id,
                    "title": "Tea",
                    "price_minor": 9_900,
                    "currency": "CNY",
                    "original_price_minor": 12_900,
                    "stock": 1_200,
                    "status": "active",
                    "image": f"/pictures/{'ab' * 16}.jpg",
                },
            },
        )
    ]
    assert await shop.goods.shelf.card("demo") == card
    clock.advance(5)
    gone = await shop.goods.shelf.unpin("demo", by="host")
    assert shop.told.of("card")[-1] == {"version": 2, "at_ms": clock.utc_ms(), "product": None}
    assert await shop.goods.shelf.card("demo") == gone


async def test_pinning_what_is_pinned_and_taking_away_nothing_change_nothing(shop: Shop) -> None:
    (product,) = await shop.listed("Tea")
    assert (await shop.goods.shelf.unpin("demo", by="host")).version == 0
    for by in ("host", "ming"):
        card = await shop.goods.shelf.pin("demo", product.id, by=by, version=0)
        assert (card.version, card.by) == (1, "host")
    assert len(shop.told.of("card")) == 1


async def test_what_is_not_in_the_list_is_put_away_or_unknown_cannot_be_pinned(shop: Shop) -> None:
    await shop.listed("Tea")
    cup = await shop.product("Cup")
    away = await shop.product("Old")
    await shop.goods.catalogue.change(away.id, ProductChange(values={"status": "archived"}))
    for product_id, code in ((cup.id, "product_unlisted"), (away.id, "product_archived"), (999, "product_unknown")):
        with pytest.raises((ConflictError, NotFoundError)) as caught:
            await shop.goods.shelf.pin("demo", product_id, by="host")
        assert caught.value.code == code
    assert shop.told.facts == []


async def test_pin_made_from_an_older_card_is_refused_and_told_who_was_quicker(shop: Shop) -> None:
    tea, cup = await shop.listed("Tea", "Cup")
    await shop.goods.shelf.pin("demo", tea.id, by="ming", version=0)
    with pytest.raises(ConflictError) as caught:
        await shop.goods.shelf.pin("demo", cup.id, by="host", version=0)
    assert (caught.value.code, "ming" in caught.value.why) == ("version_stale", True)
    with pytest.raises(ConflictError):
        await shop.goods.shelf.unpin("demo", by="host", version=0)
    assert (await shop.goods.shelf.pin("demo", cup.id, by="host", version=1)).version == 2


async def test_all_who_pin_at_once_end_with_one_card_which_is_the_one_told_last(shop: Shop) -> None:
    goods = await shop.listed(*(f"Tea {number}" for number in range(8)))
    cards = await asyncio.gather(
        *(shop.goods.shelf.pin("demo", each.id, by=f"a{number}") for number, each in enumerate(goods))
    )
    assert sorted(card.version for card in cards) == list(range(1, 9))
    told = shop.told.of("card")
    assert [payload["version"] for payload in told] == list(range(1, 9))
    last = max(cards, key=lambda card: card.version)
    assert await shop.goods.shelf.card("demo") == last
    assert told[-1] == last.payload()


async def test_first_commands_of_a_room_do_not_stand_in_each_others_way(shop: Shop) -> None:
    goods = [await shop.product(f"Tea {number}") for number in range(4)]
    await asyncio.gather(*(shop.goods.shelf.put("demo", [each.id], by="host") for each in goods))
    assert (await shop.goods.shelf.listing("demo")).version == 4


async def test_card_whose_product_leaves_the_list_is_taken_away(shop: Shop) -> None:
    tea, cup = await shop.listed("Tea", "Cup")
    await shop.goods.shelf.pin("demo", tea.id, by="host")
    await shop.goods.shelf.put("demo", [cup.id], by="ming")
    card = await shop.goods.shelf.card("demo")
    assert (card.product, card.version, card.by) == (None, 2, "ming")
    assert shop.told.of("card")[-1]["product"] is None


async def test_change_of_what_is_pinned_is_told_as_the_card_too_and_is_no_new_version(
    shop: Shop, clock: FakeClock
) -> None:
    (product,) = await shop.listed("Tea")
    pinned = await shop.goods.shelf.pin("demo", product.id, by="host")
    await shop.goods.shelf.put("other", [product.id], by="host")
    clock.advance(1_000)
    shop.told.clear()
    change = ProductChange(
        skus=[SkuChange(id=product.skus[0].id, values={"price_minor": 8_800}, stock=StockBy(by=-45))]
    )
    await shop.goods.catalogue.change(product.id, change)
    (card,) = shop.told.of("card")
    assert (card["version"], card["at_ms"]) == (pinned.version, pinned.at_ms)
    assert (card["product"]["price_minor"], card["product"]["stock"]) == (8_800, 5)
    assert shop.told.of("card", "other") == []
    assert shop.told.of("product", "other")[0]["stock"] == 5
    assert (await shop.goods.shelf.card("demo")).payload() == card


async def test_card_that_is_told_last_is_what_stands_whatever_happened_at_once(shop: Shop) -> None:
    """Pins, prices and orders at the same time: the last `card` that was told is the one in the database."""
    goods = await shop.listed("Tea", "Cup", "Silk")

    async def order(sku: int) -> None:
        async with shop.engine.begin() as connection:
            await hold(connection, [sku])
            await connection.execute(update(skus).where(skus.c.id == sku).values(stock=skus.c.stock - 1))
            (product_id,) = [each.id for each in goods if each.skus[0].id == sku]
            await shop.goods.teller.tell_products(connection, [product_id])

    async def reprice(number: int) -> None:
        product = goods[number % 3]
        values = {"price_minor": 5_000 + number}
        change = ProductChange(skus=[SkuChange(id=product.skus[0].id, values=values)])
        await shop.goods.catalogue.change(product.id, change)

    work = [shop.goods.shelf.pin("demo", goods[number % 3].id, by="host") for number in range(9)]
    await asyncio.gather(
        *(
            each
            for number, pin in enumerate(work)
            for each in (order(goods[number % 3].skus[0].id), pin, reprice(number))
        )
    )
    card = await shop.goods.shelf.card("demo")
    told = shop.told.of("card")
    assert [payload["version"] for payload in told] == sorted(payload["version"] for payload in told)
    assert told[-1] == card.payload()
