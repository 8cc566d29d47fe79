"""Reads goods, rooms and sales on a connection of the caller's.

Whoever changes a product, its SKUs or its sales, or pins it, first calls `hold`. So of two who change the same product
at once the second sees what the first did, and rooms are told of it in that order.

The one order in which rows are taken, wherever the shop takes them: the order, products, SKUs, sales, buyers' counts,
the room's counters; several of one kind by ascending id. Who does not need one of them leaves it out, and never comes
back for it. So two may wait for one another's end, and never both at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.db.shop_tables import flash_sales, products, skus
from streamd.db.tables import rooms
from streamd.errors import NotFoundError
from streamd.shop.goods import Product, Sale, Sku


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowRoom:
    """A room as the shop knows it."""

    id: int
    slug: str
    owner: str  # account name; empty while nobody's


async def find_room(connection: AsyncConnection, slug: str) -> ShowRoom:
    """Raises NotFoundError."""
    query = select(rooms.c.id, rooms.c.slug, rooms.c.owner).where(rooms.c.slug == slug)
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFoundError(f"there is no room {slug[:64]!r}", fix="check the address", code="room_unknown")
    return ShowRoom(id=row.id, slug=row.slug, owner=row.owner)


async def hold(connection: AsyncConnection, product_id: int) -> None:
    """Let nobody else change or sell the product until this transaction ends. Raises NotFoundError."""
    # Updates that change nothing: SQLite knows no SELECT … FOR UPDATE, and must begin to write before it reads.
    same = update(products).where(products.c.id == product_id).values(version=products.c.version)
    if not (await connection.execute(same)).rowcount:
        raise unknown_product(product_id)
    await connection.execute(update(skus).where(skus.c.product_id == product_id).values(stock=skus.c.stock))


async def find_product(connection: AsyncConnection, product_id: int) -> Product:
    """Raises NotFoundError."""
    found = await read_products(connection, [product_id])
    if not found:
        raise unknown_product(product_id)
    return found[0]


async def read_products(connection: AsyncConnection, ids: Collection[int]) -> list[Product]:
    """Those that exist, in the order of `ids`, with all their SKUs."""
    if not ids:
        return []
    rows = await connection.execute(select(products).where(products.c.id.in_(ids)))
    variants = await connection.execute(
        select(skus).where(skus.c.product_id.in_(ids)).order_by(skus.c.position, skus.c.id)
    )
    by_product: dict[int, list[Sku]] = {}
    for row in variants:
        by_product.setdefault(row.product_id, []).append(sku_of(row))
    found = {row.id: _product(row, by_product.get(row.id, [])) for row in rows}
    return [found[each] for each in ids if each in found]


async def read_sales(connection: AsyncConnection, goods: Iterable[Product]) -> dict[int, Sale]:
    """The flash sales that stand, by SKU: announced, running, or over and not yet written down as such."""
    ids = [sku.id for product in goods for sku in product.skus]
    if not ids:
        return {}
    query = select(flash_sales).where(flash_sales.c.open_sku_id.in_(ids))
    return {row.sku_id: sale_of(row) for row in await connection.execute(query)}


def unknown_product(product_id: int | str) -> NotFoundError:
    """There is none of this id."""
    return NotFoundError(
        f"there is no product {str(product_id)[:32]}",
        why="nobody has made it, or it is no longer shown",
        fix="list the products at GET /api/v1/products",
        code="product_unknown",
    )


def unknown_sku(sku_id: int) -> NotFoundError:
    """There is none of this id, or not here."""
    return NotFoundError(f"there is no SKU {sku_id}", fix="take its id from the product's `skus`", code="sku_unknown")


def sale_of(row: Row[Any]) -> Sale:
    """A row of `flash_sales`."""
    return Sale(**{name: getattr(row, name) for name in Sale.__slots__})


def sku_of(row: Row[Any]) -> Sku:
    """A row of `skus`."""
    values = {name: getattr(row, name) for name in Sku.__slots__}
    return Sku(**values | {"is_offered": bool(row.is_offered)})


def _product(row: Row[Any], variants: Iterable[Sku]) -> Product:
    values = {name: getattr(row, name) for name in Product.__slots__ if name != "skus"}
    return Product(**values, skus=tuple(variants))
