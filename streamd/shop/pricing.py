"""What something costs at an instant, and how it is shown. Pure: facts and a time in, an offer out.

One rule: the flash sale that runs has priority over the SKU's own price, and nothing is ever stacked on it. A sale runs
from its first to before its last millisecond, unless it was cancelled, ended early or is sold out; so a sale is over
when its time is, whether or not anybody came to write that down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streamd.shop.goods import ANNOUNCED, ARCHIVED, ENDED, RUNNING, SOLD_OUT, Product, Sale, Sku

# Below it the very number is shown; above, steps that a crowd of buyers crosses seldom.
_EXACT_BELOW: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one of a SKU costs now. `original_minor` is struck through; `sale` is the one that makes the price."""

    unit_minor: int
    original_minor: int | None
    sale: Sale | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A product as rooms see it: its cheapest SKU's price, all stock, the sale that runs or is announced."""

    price_minor: int
    original_price_minor: int | None
    stock: int  # in steps
    status: str
    sale: Sale | None
    is_running: bool


def is_running(sale: Sale, *, at_ms: int) -> bool:
    """Whether its price is the price."""
    return sale.status in (ANNOUNCED, RUNNING) and sale.starts_at_ms <= at_ms < sale.ends_at_ms and sale.left > 0


def is_announced(sale: Sale, *, at_ms: int) -> bool:
    """Whether it will run."""
    return sale.status == ANNOUNCED and at_ms < sale.starts_at_ms


def is_over(sale: Sale, *, at_ms: int) -> bool:
    """Whether nothing will come of it any more."""
    return sale.status not in (ANNOUNCED, RUNNING) or at_ms >= sale.ends_at_ms


def phase(sale: Sale, *, at_ms: int) -> str:
    """Its status as the time has it, whatever is written down."""
    if sale.status not in (ANNOUNCED, RUNNING):
        return sale.status
    return ENDED if is_over(sale, at_ms=at_ms) else ANNOUNCED if is_announced(sale, at_ms=at_ms) else RUNNING


def price_at(sku: Sku, sale: Sale | None, *, at_ms: int) -> Price:
    """The price of a SKU; `sale` is the one that stands, if any."""
    if sale is not None and is_running(sale, at_ms=at_ms) and sale.price_minor < sku.price_minor:
        return Price(unit_minor=sale.price_minor, original_minor=sku.price_minor, sale=sale)
    original = sku.original_price_minor
    is_dearer = original is not None and original > sku.price_minor
    return Price(unit_minor=sku.price_minor, original_minor=original if is_dearer else None, sale=None)


def shown_stock(stock: int) -> int:
    """Stock in steps: exact below a hundred, then by tens, from a thousand on by hundreds."""
    if stock < _EXACT_BELOW:
        return max(0, stock)
    step = 10 if stock < 1_000 else 100
    return stock - stock % step


def offer_of(product: Product, sales: Mapping[int, Sale], *, at_ms: int) -> Offer:
    """How rooms see a product; `sales` are the ones that stand, by SKU.

    The price is the lowest of what can be bought; of what is offered, where nothing can.
    """
    offered = [sku for sku in product.skus if sku.is_offered] or list(product.skus)
    buyable = [sku for sku in offered if sku.stock > 0] or offered
    prices = [price_at(sku, sales.get(sku.id), at_ms=at_ms) for sku in buyable]
    best = min(prices, key=lambda price: price.unit_minor)
    announced = [sale for sku in offered if (sale := sales.get(sku.id)) and is_announced(sale, at_ms=at_ms)]
    sale = best.sale or min(announced, key=lambda each: each.starts_at_ms, default=None)
    is_gone = product.status in (SOLD_OUT, ARCHIVED)
    return Offer(
        price_minor=best.unit_minor,
        original_price_minor=best.original_minor,
        stock=0 if is_gone else shown_stock(sum(sku.stock for sku in offered if sku.is_offered)),
        status=product.status,
        sale=sale,
        is_running=best.sale is not None,
    )
