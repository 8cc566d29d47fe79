"""What is for sale, as facts: products, their SKUs, flash sales. Values only; numbers are as they were when read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ACTIVE: Final = "active"
SOLD_OUT: Final = "sold_out"  # said so by hand, whatever the stock
ARCHIVED: Final = "archived"

ANNOUNCED: Final = "announced"
RUNNING: Final = "running"
ENDED: Final = "ended"
CANCELLED: Final = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sku:
    """One variant of a product: what is counted and paid."""

    id: int
    product_id: int
    name: str  # empty where the product has no variants
    price_minor: int
    original_price_minor: int | None  # what is struck through
    stock: int
    buyer_limit: int | None
    position: int
    is_offered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product with its SKUs, in their order."""

    id: int
    owner: str  # account name
    title: str
    description: str
    image: str | None  # a picture's id
    currency: str
    status: str  # active, sold_out, archived
    version: int
    created_at_ms: int
    updated_at_ms: int
    skus: tuple[Sku, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A flash sale of one SKU, announced and run by a room; its price is the SKU's in every room that lists it."""

    id: int
    room_id: int
    sku_id: int
    price_minor: int
    starts_at_ms: int
    ends_at_ms: int
    quantity: int
    sold: int
    buyer_limit: int | None
    status: str  # announced, running, ended, cancelled
    created_by: str
    created_at_ms: int

    @property
    def left(self) -> int:
        """How many may still be sold at its price."""
        return max(0, self.quantity - self.sold)
