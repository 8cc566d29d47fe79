"""The price at an instant."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.shop.goods import Product, Sale, Sku
from streamd.shop.pricing import is_announced, is_over, is_running, offer_of, phase, price_at, shown_stock

SKU = Sku(
    id=1,
    product_id=1,
    name="",
    price_minor=9_900,
    original_price_minor=12_900,
    stock=50,
    buyer_limit=None,
    position=1,
    is_offered=True,
)
SALE = Sale(
    id=7,
    room_id=1,
    sku_id=1,
    price_minor=4_900,
    starts_at_ms=1_000,
    ends_at_ms=2_000,
    quantity=10,
    sold=0,
    buyer_limit=2,
    status="announced",
    created_by="host",
    created_at_ms=0,
)


def product(*skus: Sku, status: str = "active") -> Product:
    return Product(
        id=1,
        owner="host",
        title="Tea",
        description="",
        image=None,
        currency="CNY",
        status=status,
        version=1,
        created_at_ms=0,
        updated_at_ms=0,
        skus=skus or (SKU,),
    )


def test_without_a_sale_the_price_is_the_skus_and_the_original_one_is_struck_through() -> None:
    price = price_at(SKU, None, at_ms=0)
    assert (price.unit_minor, price.original_minor, price.sale) == (9_900, 12_900, None)


@pytest.mark.parametrize("original", [None, 9_900, 100])
def test_original_price_that_is_not_higher_is_not_struck_through(original: int | None) -> None:
    assert price_at(replace(SKU, original_price_minor=original), None, at_ms=0).original_minor is None


@pytest.mark.parametrize(("at_ms", "unit"), [(999, 9_900), (1_000, 4_900), (1_999, 4_900), (2_000, 9_900)])
def test_sale_runs_from_its_first_to_before_its_last_millisecond(at_ms: int, unit: int) -> None:
    for status in ("announced", "running"):
        assert price_at(SKU, replace(SALE, status=status), at_ms=at_ms).unit_minor == unit


def test_sale_price_stands_alone_and_the_skus_price_is_what_is_struck_through() -> None:
    price = price_at(SKU, SALE, at_ms=1_500)
    assert (price.unit_minor, price.original_minor, price.sale) == (4_900, 9_900, SALE)


@pytest.mark.parametrize(
    "stopped", [replace(SALE, status="cancelled"), replace(SALE, status="ended"), replace(SALE, sold=10)]
)
def test_sale_that_was_stopped_or_is_sold_out_makes_no_price(stopped: Sale) -> None:
    assert price_at(SKU, stopped, at_ms=1_500).unit_minor == 9_900


def test_sale_that_no_longer_undercuts_makes_no_price() -> None:
    assert price_at(replace(SKU, price_minor=4_000), SALE, at_ms=1_500).sale is None


@pytest.mark.parametrize(
    ("status", "at_ms", "expected"),
    [
        ("announced", 0, "announced"),
        ("announced", 1_000, "running"),
        ("running", 2_000, "ended"),
        ("cancelled", 1_500, "cancelled"),
        ("ended", 1_500, "ended"),
    ],
)
def test_phase_is_what_the_time_says_whatever_is_written_down(status: str, at_ms: int, expected: str) -> None:
    assert phase(replace(SALE, status=status), at_ms=at_ms) == expected


@given(st.integers(0, 3_000), st.sampled_from(["announced", "running", "ended", "cancelled"]), st.integers(0, 12))
def test_sale_is_never_two_things_at_once(at_ms: int, status: str, sold: int) -> None:
    sale = replace(SALE, status=status, sold=sold)
    told = [is_announced(sale, at_ms=at_ms), is_running(sale, at_ms=at_ms), is_over(sale, at_ms=at_ms)]
    assert sum(told) <= 1


@given(st.integers(1, 10**10), st.integers(1, 10**10), st.integers(0, 3_000))
def test_price_is_never_above_the_skus_and_what_is_struck_through_never_below_the_price(
    sku_minor: int, sale_minor: int, at_ms: int
) -> None:
    price = price_at(replace(SKU, price_minor=sku_minor), replace(SALE, price_minor=sale_minor), at_ms=at_ms)
    assert price.unit_minor <= sku_minor
    assert price.original_minor is None or price.original_minor > price.unit_minor


@pytest.mark.parametrize(
    ("stock", "shown"), [(-1, 0), (0, 0), (1, 1), (99, 99), (100, 100), (109, 100), (999, 990), (1_099, 1_000)]
)
def test_stock_is_shown_exactly_while_it_is_short_and_in_steps_while_it_is_long(stock: int, shown: int) -> None:
    assert shown_stock(stock) == shown


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_shown_stock_keeps_the_order_and_never_promises_more(one: int, other: int) -> None:
    assert shown_stock(one) <= one
    assert (shown_stock(one) == 0) == (one == 0)
    if one <= other:
        assert shown_stock(one) <= shown_stock(other)


def test_offer_shows_the_cheapest_that_can_be_bought_and_all_stock() -> None:
    dear = replace(SKU, id=2, price_minor=10_900)
    gone = replace(SKU, id=3, price_minor=100, stock=0)
    hidden = replace(SKU, id=4, price_minor=50, is_offered=False)
    offer = offer_of(product(dear, SKU, gone, hidden), {}, at_ms=0)
    assert (offer.price_minor, offer.stock, offer.sale) == (9_900, 100, None)
    assert offer_of(product(dear, SKU, gone), {2: replace(SALE, sku_id=2)}, at_ms=1_500).price_minor == 4_900


def test_offer_shows_a_sale_before_it_runs_at_the_price_of_now() -> None:
    offer = offer_of(product(), {1: SALE}, at_ms=500)
    assert (offer.price_minor, offer.sale, offer.is_running) == (9_900, SALE, False)


@pytest.mark.parametrize("status", ["sold_out", "archived"])
def test_what_is_sold_out_by_hand_has_no_stock_to_show(status: str) -> None:
    offer = offer_of(product(status=status), {}, at_ms=0)
    assert (offer.stock, offer.status, offer.price_minor) == (0, status, 9_900)


def test_product_of_which_nothing_is_offered_still_has_a_price() -> None:
    offer = offer_of(product(replace(SKU, is_offered=False)), {}, at_ms=0)
    assert (offer.price_minor, offer.stock) == (9_900, 0)
