"""Money: whole minor units within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidError
from streamd.shop.money import COUNT_LIMIT, CURRENCIES, PRICE_LIMIT_MINOR, check_currency, check_price, total_minor

PRICES = st.integers(min_value=1, max_value=PRICE_LIMIT_MINOR)


@pytest.mark.parametrize("currency", sorted(CURRENCIES))
def test_known_currency_is_taken(currency: str) -> None:
    assert check_currency(currency) == currency


@pytest.mark.parametrize("currency", ["", "cny", "RMB", "CNY ", "X" * 100])
def test_unknown_currency_is_refused_and_the_known_ones_are_named(currency: str) -> None:
    with pytest.raises(InvalidError) as caught:
        check_currency(currency)
    assert "CNY" in caught.value.why


@pytest.mark.parametrize("minor", [0, -1, PRICE_LIMIT_MINOR + 1])
def test_price_of_nothing_and_price_beyond_measure_are_refused(minor: int) -> None:
    with pytest.raises(InvalidError):
        check_price(minor)


@given(PRICES, st.integers(min_value=1, max_value=COUNT_LIMIT))
def test_total_is_exact_and_fits_into_what_databases_hold(unit_minor: int, count: int) -> None:
    total = total_minor(unit_minor, count)
    assert (total // count, total % count) == (unit_minor, 0)
    assert total < 2**63


@pytest.mark.parametrize("count", [0, -1, COUNT_LIMIT + 1])
def test_count_that_nobody_buys_is_refused(count: int) -> None:
    with pytest.raises(InvalidError):
        total_minor(100, count)
