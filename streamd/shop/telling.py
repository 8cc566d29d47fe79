"""What rooms are told of goods: the payloads of `card`, `product` and `shelf`, and the way they leave.

Every event says the whole state of what it names, so that hearing it twice, or only the latest of several, is enough. A
`card` is told again whenever what it shows has changed: it is also what those see who come later. Events are added to
the outbox within the transaction that made them true; who calls holds the product (`reading.hold`) or the SKU's row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Row, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.clock import Clock
from streamd.db.shop_tables import room_counters, room_products
from streamd.db.tables import rooms
from streamd.shop.goods import Product, Sale
from streamd.shop.pricing import Offer, offer_of, shown_stock
from streamd.shop.reading import read_products, read_sales


class Outbox(Protocol):
    """Where facts leave."""

    async def add(self, connection: AsyncConnection, *, room: str, event: str, payload: Mapping[str, object]) -> None:
        """Within the caller's transaction."""
        ...

    async def add_all(
        self, connection: AsyncConnection, *, event: str, facts: Sequence[tuple[str, Mapping[str, object]]]
    ) -> None:
        """Several of one kind, each with its room."""
        ...

    def wake(self) -> None:
        """Something was committed. Never blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the host explains now. `version` grows with every pin and unpin; `product` is as rooms see it."""

    version: int
    at_ms: int
    by: str  # account name; empty while nobody has pinned anything
    product: dict[str, Any] | None

    def payload(self) -> dict[str, object]:
        """Of the `card` event, before its number."""
        return {"version": self.version, "at_ms": self.at_ms, "product": self.product}


class Teller:
    """Says how goods look in rooms. `picture_path` says where a picture is, by its id."""

    def __init__(self, *, outbox: Outbox, clock: Clock, picture_path: Callable[[str], str]) -> None:
        self._outbox = outbox
        self._clock = clock
        self._picture_path = picture_path

    def wake(self) -> None:
        """After the commit. Never blocks."""
        self._outbox.wake()

    async def tell_products(self, connection: AsyncConnection, product_ids: Iterable[int]) -> None:
        """Tell every room that lists one of these how it stands now. Last in the transaction."""
        goods = await read_products(connection, sorted(set(product_ids)))
        sales = await read_sales(connection, goods)
        offers = {each.id: offer_of(each, sales, at_ms=self._clock.utc_ms()) for each in goods}
        by_id = {each.id: each for each in goods}
        listed = (await connection.execute(_listed(list(by_id)))).all() if goods else []
        facts = [(row.slug, news(row.product_id, offers[row.product_id])) for row in listed]
        await self._outbox.add_all(connection, event="product", facts=facts)
        slugs = {row.room_id: row.slug for row in listed}
        for row in await _cards_of(connection, slugs, by_id):
            shown = self.picture_of(by_id[row.card_product_id], offers[row.card_product_id])
            await self.tell_card(connection, slugs[row.room_id], card_of(row, shown))

    async def tell_card(self, connection: AsyncConnection, room: str, card: Card) -> None:
        """Tell a room of its card."""
        await self._outbox.add(connection, room=room, event="card", payload=card.payload())

    async def tell_shelf(self, connection: AsyncConnection, room: str, *, version: int, count: int) -> None:
        """Tell a room that its list is another one: whoever shows it asks for it again."""
        await self._outbox.add(connection, room=room, event="shelf", payload={"version": version, "count": count})

    async def pictures(self, connection: AsyncConnection, goods: Sequence[Product]) -> list[dict[str, Any]]:
        """Products as rooms see them now."""
        sales = await read_sales(connection, goods)
        now_ms = self._clock.utc_ms()
        return [self.picture_of(each, offer_of(each, sales, at_ms=now_ms)) for each in goods]

    def picture_of(self, product: Product, offer: Offer) -> dict[str, Any]:
        """A product as cards and lists show it."""
        shown: dict[str, Any] = {
            "id": product.id,
            "title": product.title,
            "price_minor": offer.price_minor,
            "currency": product.currency,
            "original_price_minor": offer.original_price_minor,
            "stock": offer.stock,
            "status": offer.status,
            "image": self.image(product),
        }
        if offer.sale is not None:
            shown["sale"] = terms(offer.sale, is_running=offer.is_running)
        return shown

    def image(self, product: Product) -> str | None:
        """Where its picture is."""
        return self._picture_path(product.image) if product.image else None


def news(product_id: int, offer: Offer) -> dict[str, object]:
    """Payload of `product`."""
    return {
        "id": product_id,
        "price_minor": offer.price_minor,
        "original_price_minor": offer.original_price_minor,
        "stock": offer.stock,
        "status": offer.status,
        "sale": terms(offer.sale, is_running=offer.is_running) if offer.sale is not None else None,
    }


def terms(sale: Sale, *, is_running: bool) -> dict[str, object]:
    """A sale as rooms see it; `limit` is for one buyer, `starts_at_ms` is there while it is announced."""
    shown: dict[str, object] = {
        "ends_at_ms": sale.ends_at_ms,
        "limit": sale.buyer_limit,
        "id": sale.id,
        "sku_id": sale.sku_id,
        "price_minor": sale.price_minor,
        "left": shown_stock(sale.left),
    }
    return shown if is_running else shown | {"starts_at_ms": sale.starts_at_ms}


def card_of(row: Row[Any], product: dict[str, Any] | None) -> Card:
    """A row of `room_counters`, with the product as rooms see it."""
    return Card(version=row.card_version, at_ms=row.card_at_ms, by=row.card_by, product=product)


def _listed(product_ids: list[int]) -> Select[tuple[int, str, int]]:
    return (
        select(rooms.c.id.label("room_id"), rooms.c.slug, room_products.c.product_id)
        .join(room_products, room_products.c.room_id == rooms.c.id)
        .where(room_products.c.product_id.in_(product_ids))
        .order_by(rooms.c.id, room_products.c.product_id)
    )


async def _cards_of(
    connection: AsyncConnection, room_ids: Collection[int], product_ids: Collection[int]
) -> Sequence[Row[Any]]:
    """The rooms among these whose card is one of these products; held, so that no other card is pinned before ours.

    Looked for first: a room that does not show them need not wait. None comes to show them meanwhile, for who pins a
    product holds it, and so do we. Held by the primary key alone: by way of the index on the product, a pin that moves
    the entry there and we would wait for each other.
    """
    theirs = room_counters.c.room_id.in_(sorted(room_ids)) & room_counters.c.card_product_id.in_(sorted(product_ids))
    shown = (await connection.scalars(select(room_counters.c.room_id).where(theirs))).all() if room_ids else []
    if not shown:
        return []
    mine = room_counters.c.room_id.in_(sorted(shown))
    await connection.execute(update(room_counters).where(mine).values(card_version=room_counters.c.card_version))
    return (await connection.execute(select(room_counters).where(theirs).order_by(room_counters.c.room_id))).all()
