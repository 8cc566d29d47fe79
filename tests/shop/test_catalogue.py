"""The catalogue, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.shop_tables import skus
from streamd.errors import ConflictError, InvalidError, NotFoundError
from streamd.shop.catalogue import NewSku, ProductChange, SkuChange, StockBy, StockTo
from streamd.shop.quotes import quotes
from streamd.shop.sales import SalePlan
from tests.support.clock import FakeClock
from tests.support.shop import Shop, add_person, add_room


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def shop(engine: AsyncEngine, clock: FakeClock) -> Shop:
    for slug, owner in (("demo", "host"), ("other", "host"), ("theirs", "rival")):
        await add_room(engine, slug, owner=owner)
    return Shop(engine, clock)


def one(sku_id: int, **options: object) -> ProductChange:
    stock = options.pop("stock", None)
    return ProductChange(skus=[SkuChange(id=sku_id, values=options, stock=stock)])  # type: ignore[arg-type]


async def test_product_is_found_as_it_was_made(shop: Shop, clock: FakeClock) -> None:
    variants = [
        NewSku(name="红, M", price_minor=9_900, original_price_minor=12_900, stock=5, buyer_limit=2),
        NewSku(name="蓝, L", price_minor=8_900, stock=3),
    ]
    made = await shop.goods.catalogue.create(
        owner="host", title=" 丝巾 🧣 ", description="Line one\nline two", variants=variants
    )
    found = await shop.goods.catalogue.get(made.product.id)
    assert found == made
    product = found.product
    assert (product.title, product.status, product.version, product.currency) == ("丝巾 🧣", "active", 1, "CNY")
    assert [(sku.name, sku.position, sku.buyer_limit) for sku in product.skus] == [("红, M", 1, 2), ("蓝, L", 2, None)]
    assert (found.offer.price_minor, found.offer.stock, product.created_at_ms) == (8_900, 8, clock.utc_ms())


@pytest.mark.parametrize(
    "wrong", [{"title": "  "}, {"title": "two\nlines"}, {"price": 0}, {"name": "x" * 101}, {"title": "x" * 201}]
)
async def test_product_that_cannot_be_sold_is_refused_whole(shop: Shop, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidError):
        await shop.product(**wrong)  # type: ignore[arg-type]
    assert await shop.goods.catalogue.page(owner="host", limit=10) == []


async def test_change_raises_the_version_and_tells_every_room_that_lists_it(shop: Shop) -> None:
    (product,) = await shop.listed("Tea")
    await shop.goods.shelf.put("other", [product.id], by="host")
    shop.told.clear()
    change = ProductChange(
        values={"title": "Green tea"}, skus=[SkuChange(id=product.skus[0].id, values={"price_minor": 8_800})]
    )
    ware = await shop.goods.catalogue.change(product.id, change, version=1)
    assert (ware.product.version, ware.product.title, ware.offer.price_minor) == (2, "Green tea", 8_800)
    for room in ("demo", "other"):
        assert shop.told.of("product", room) == [
            {
                "id": product.id,
                "price_minor": 8_800,
                "original_price_minor": None,
                "stock": 50,
                "status": "active",
                "sale": None,
            }
        ]
    assert (shop.told.of("product", "theirs"), shop.told.woken > 0) == ([], True)


async def test_change_of_nothing_changes_nothing_and_tells_nobody(shop: Shop) -> None:
    (product,) = await shop.listed("Tea")
    same = ProductChange(
        values={"title": "Tea"}, skus=[SkuChange(id=product.skus[0].id, values={"price_minor": 9_900})]
    )
    assert (await shop.goods.catalogue.change(product.id, same)).product == product
    assert shop.told.facts == []


async def test_change_made_from_an_older_version_is_refused_and_shown_the_newer_one(shop: Shop) -> None:
    product = await shop.product("Tea")
    await shop.goods.catalogue.change(product.id, ProductChange(values={"title": "Green tea"}), version=1)
    with pytest.raises(ConflictError) as caught:
        await shop.goods.catalogue.change(product.id, ProductChange(values={"title": "Red tea"}), version=1)
    assert caught.value.code == "version_stale"
    assert "version 2" in caught.value.what
    assert "Green tea" in caught.value.why
    assert (await shop.goods.catalogue.get(product.id)).product.title == "Green tea"


async def test_of_two_who_change_the_same_version_at_once_one_is_refused(shop: Shop) -> None:
    product = await shop.product("Tea")
    changes = (
        shop.goods.catalogue.change(product.id, ProductChange(values={"title": f"Tea {n}"}), version=1)
        for n in range(5)
    )
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ConflictError"] * 4 + ["Ware"]
    assert (await shop.goods.catalogue.get(product.id)).product.version == 2


async def test_stock_that_is_changed_by_a_difference_loses_nothing_that_is_sold_meanwhile(shop: Shop) -> None:
    product = await shop.product(stock=100)
    sku = product.skus[0].id

    async def sell() -> None:
        async with shop.engine.begin() as connection:
            taken = update(skus).where(skus.c.id == sku, skus.c.stock >= 1).values(stock=skus.c.stock - 1)
            assert (await connection.execute(taken)).rowcount == 1

    raises = (shop.goods.catalogue.change(product.id, one(sku, stock=StockBy(by=10))) for _ in range(5))
    await asyncio.gather(*(sell() for _ in range(20)), *raises)
    ware = await shop.goods.catalogue.get(product.id)
    assert (ware.product.skus[0].stock, ware.product.version) == (130, 1)


async def test_stock_set_to_a_number_is_refused_where_it_is_not_what_was_seen(shop: Shop) -> None:
    product = await shop.product(stock=50)
    sku = product.skus[0].id
    ware = await shop.goods.catalogue.change(product.id, one(sku, stock=StockTo(to=80, seen=50)))
    assert ware.product.skus[0].stock == 80
    with pytest.raises(ConflictError) as caught:
        await shop.goods.catalogue.change(product.id, one(sku, stock=StockTo(to=90, seen=50)))
    assert (caught.value.code, "80" in caught.value.what) == ("stock_moved", True)


@pytest.mark.parametrize("by", [-51, 10_000_000])
async def test_stock_never_leaves_its_bounds(shop: Shop, by: int) -> None:
    product = await shop.product(stock=50)
    with pytest.raises(ConflictError) as caught:
        await shop.goods.catalogue.change(product.id, one(product.skus[0].id, stock=StockBy(by=by)))
    assert caught.value.code == "stock_short"
    assert (await shop.goods.catalogue.get(product.id)).product.skus[0].stock == 50


async def test_change_of_which_a_part_is_refused_is_not_done_at_all(shop: Shop) -> None:
    product = await shop.product(stock=5)
    change = ProductChange(values={"title": "Other"}, skus=[SkuChange(id=product.skus[0].id, stock=StockBy(by=-6))])
    with pytest.raises(ConflictError):
        await shop.goods.catalogue.change(product.id, change)
    assert (await shop.goods.catalogue.get(product.id)).product == product


async def test_sku_is_added_behind_the_others_and_taken_off_the_offer(shop: Shop) -> None:
    product = await shop.product(price=9_900, stock=50)
    added = ProductChange(new_skus=[NewSku(name="Small", price_minor=4_900, stock=7)])
    ware = await shop.goods.catalogue.change(product.id, added)
    assert [(sku.name, sku.position) for sku in ware.product.skus] == [("", 1), ("Small", 2)]
    assert (ware.offer.price_minor, ware.offer.stock, ware.product.version) == (4_900, 57, 2)
    small = ware.product.skus[1].id
    ware = await shop.goods.catalogue.change(product.id, one(small, is_offered=False))
    assert (ware.offer.price_minor, ware.offer.stock, ware.product.version) == (9_900, 50, 3)


async def test_sku_of_another_product_is_unknown(shop: Shop) -> None:
    mine, other = await shop.product("Tea"), await shop.product("Cup")
    with pytest.raises(NotFoundError) as caught:
        await shop.goods.catalogue.change(mine.id, one(other.skus[0].id, price_minor=1))
    assert caught.value.code == "sku_unknown"


async def test_sold_out_by_hand_is_told_and_taken_back(shop: Shop) -> None:
    (product,) = await shop.listed("Tea")
    for status, stock in (("sold_out", 0), ("active", 50)):
        await shop.goods.catalogue.change(product.id, ProductChange(values={"status": status}))
        assert [shop.told.of("product")[-1][name] for name in ("status", "stock")] == [status, stock]


async def test_product_that_is_put_away_leaves_lists_and_comes_back(shop: Shop) -> None:
    (product,) = await shop.listed("Tea")
    await shop.goods.catalogue.change(product.id, ProductChange(values={"status": "archived"}))
    assert await shop.goods.catalogue.page(owner="host", limit=10) == []
    assert len(await shop.goods.catalogue.page(owner="host", status="archived", limit=10)) == 1
    assert (await shop.goods.shelf.listing("demo")).wares == ()
    assert shop.told.of("product")[-1]["status"] == "archived"
    await shop.goods.catalogue.change(product.id, ProductChange(values={"status": "active"}))
    assert len((await shop.goods.shelf.listing("demo")).wares) == 1


async def test_product_that_is_on_a_card_or_on_sale_is_not_put_away(shop: Shop) -> None:
    (product,) = await shop.listed("Tea")
    away = ProductChange(values={"status": "archived"})
    await shop.goods.shelf.pin("demo", product.id, by="host")
    with pytest.raises(ConflictError, match="cannot be put away"):
        await shop.goods.catalogue.change(product.id, away)
    await shop.goods.shelf.unpin("demo", by="host")
    plan = SalePlan(sku_id=product.skus[0].id, price_minor=100, duration_s=60, quantity=5)
    await shop.goods.sales.announce("demo", plan, by="host")
    with pytest.raises(ConflictError, match="cannot be put away"):
        await shop.goods.catalogue.change(product.id, away)


async def test_price_does_not_fall_under_a_sale_that_stands(shop: Shop, clock: FakeClock) -> None:
    (product,) = await shop.listed("Tea", price=9_900)
    sku = product.skus[0].id
    plan = SalePlan(sku_id=sku, price_minor=4_900, duration_s=60, quantity=5)
    await shop.goods.sales.announce("demo", plan, by="host")
    for change in ({"price_minor": 4_900}, {"is_offered": False}):
        with pytest.raises(ConflictError) as caught:
            await shop.goods.catalogue.change(product.id, one(sku, **change))
        assert caught.value.code == "sale_stands"
    await shop.goods.catalogue.change(product.id, one(sku, price_minor=4_901))
    clock.advance(60_000)
    await shop.goods.catalogue.change(product.id, one(sku, price_minor=100))


async def test_pages_follow_each_other_newest_first_without_gap_or_repeat(shop: Shop) -> None:
    made = [(await shop.product(f"Tea {number}")).id for number in range(12)]
    await shop.product("Not mine", owner="rival")
    seen: list[int] = []
    while page := await shop.goods.catalogue.page(owner="host", before=seen[-1] if seen else 0, limit=5):
        seen += [ware.product.id for ware in page]
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("tea", ["Iced TEA 100%", "Green Tea"]),
        ("100%", ["Iced TEA 100%"]),
        ("%", ["Iced TEA 100%"]),
        ("_", []),
        ("茶", ["龙井茶"]),
        ("nothing", []),
    ],
)
async def test_words_are_found_in_titles_as_they_are(shop: Shop, words: str, found: list[str]) -> None:
    for title in ("Green Tea", "龙井茶", "Cup", "Iced TEA 100%"):
        await shop.product(title)
    page = await shop.goods.catalogue.page(owner="host", words=words, limit=10)
    assert [ware.product.title for ware in page] == found


async def test_goods_are_managed_by_their_owner_and_by_those_who_run_the_owners_rooms(shop: Shop) -> None:
    async def may(name: str, user_id: int) -> bool:
        return await shop.goods.catalogue.may_manage(user_id=user_id, name=name, owner="host")

    room, theirs = await add_room(shop.engine, "new", owner="host"), await add_room(shop.engine, "far", owner="rival")
    assert await may("host", 999)
    assert await may("ming", await add_person(shop.engine, "ming", room_id=room))
    assert not await may("mo", await add_person(shop.engine, "mo", room_id=room, role="moderator"))
    assert not await may("rival", await add_person(shop.engine, "rival", room_id=theirs, role="host"))


async def test_quote_is_the_price_of_the_instant_and_begins_a_sale_whose_time_has_come(
    shop: Shop, clock: FakeClock
) -> None:
    (product,) = await shop.listed("Tea", price=9_900, name="Red")
    sku = product.skus[0].id
    plan = SalePlan(sku_id=sku, price_minor=4_900, countdown_s=10, duration_s=60, quantity=5)
    sale = await shop.goods.sales.announce("demo", plan, by="host")
    prices = []
    for _ in range(3):
        async with shop.engine.begin() as connection:
            quoted = (await quotes(connection, [sku], clock.utc_ms()))[sku]
        prices.append((quoted.unit_price_minor, quoted.sale_id))
        (stored,) = await shop.goods.sales.page("demo", limit=10)
        assert (stored.status == "running") == (quoted.sale_id is not None or len(prices) == 3)
        clock.advance(10_000 if len(prices) == 1 else 60_000)
    assert prices == [(9_900, None), (4_900, sale.id), (9_900, None)]
    assert (quoted.title, quoted.sku_name, quoted.currency, quoted.owner) == ("Tea", "Red", "CNY", "host")
    assert (quoted.is_offered, quoted.status, quoted.product_id) == (True, "active", product.id)


async def test_what_does_not_exist_is_not_quoted(shop: Shop) -> None:
    async with shop.engine.begin() as connection:
        assert await quotes(connection, [999], 0) == {}
    with pytest.raises(NotFoundError):
        await shop.goods.catalogue.get(999)
    with pytest.raises(NotFoundError):
        await shop.goods.catalogue.change(999, ProductChange())
