"""Money: an integer in the currency's minor unit (fen, cents; for yen the yen itself), never a fraction.

How an amount is written is the client's business, which knows its reader's language. Pure.
"""

from __future__ import annotations

from typing import Final

from streamd.errors import InvalidError

CURRENCIES: Final = frozenset(
    ("CNY", "EUR", "GBP", "HKD", "IDR", "JPY", "KRW", "MYR", "PHP", "SGD", "THB", "TWD", "USD", "VND")
)
# A hundred million yuan: above any price, and a thousand of them times a hundred thousand still fit into 64 bits.
PRICE_LIMIT_MINOR: Final = 10_000_000_000
COUNT_LIMIT: Final = 100_000


def check_currency(currency: str) -> str:
    """`currency`, if it is one that is known. Raises InvalidError."""
    if currency in CURRENCIES:
        return currency
    raise InvalidError(
        f"{currency[:16]!r} is no currency that is known here",
        why="a currency is one of " + ", ".join(sorted(CURRENCIES)),
        fix="use the three letters of ISO 4217",
        code="currency",
    )


def check_price(minor: int) -> int:
    """`minor`, if something can cost that much. Raises InvalidError."""
    if 1 <= minor <= PRICE_LIMIT_MINOR:
        return minor
    raise InvalidError(
        "this price cannot be used",
        why=f"a price is 1 to {PRICE_LIMIT_MINOR} in the currency's minor unit",
        fix="write 12.50 yuan as 1250",
        code="price",
    )


def total_minor(unit_minor: int, count: int) -> int:
    """What `count` of something cost together. Raises InvalidError for a price or a count that nothing has."""
    if not 1 <= count <= COUNT_LIMIT:
        raise InvalidError(f"nobody buys {count} at once", why=f"a count is 1 to {COUNT_LIMIT}", code="count")
    return check_price(unit_minor) * count
