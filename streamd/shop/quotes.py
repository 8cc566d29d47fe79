"""What a SKU costs now, for whoever is about to sell it: read on the order's own connection, after its rows are held.

Implements `streamd.shop.order_ports.Quoting`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.db.shop_tables import flash_sales, products, skus
from streamd.shop.goods import ANNOUNCED, RUNNING
from streamd.shop.pricing import price_at
from streamd.shop.reading import sale_of, sku_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SkuQuote:
    """One of a SKU, at an instant. `sale_id`: whose price and whose limits it is; None: the SKU's own."""

    product_id: int
    sku_id: int
    owner: str
    title: str
    sku_name: str
    unit_price_minor: int
    currency: str
    sale_id: int | None
    is_offered: bool
    status: str  # of the product: active, sold_out, archived


async def quotes(connection: AsyncConnection, sku_ids: Collection[int], now_ms: int) -> dict[int, SkuQuote]:
    """What one of each costs at `now_ms`, of those that exist. Cancel-safe: as the transaction is."""
    found = await connection.execute(select(flash_sales).where(flash_sales.c.open_sku_id.in_(sku_ids)))
    sales = {row.sku_id: sale_of(row) for row in found}
    quoted: dict[int, SkuQuote] = {}
    for row in (await connection.execute(_goods.where(skus.c.id.in_(sku_ids)))).all():
        sku = sku_of(row)
        price = price_at(sku, sales.get(sku.id), at_ms=now_ms)
        if price.sale is not None and price.sale.status == ANNOUNCED:
            await begin_sale(connection, price.sale.id)
        quoted[sku.id] = SkuQuote(
            product_id=sku.product_id,
            sku_id=sku.id,
            owner=row.owner,
            title=row.title,
            sku_name=sku.name,
            unit_price_minor=price.unit_minor,
            currency=row.currency,
            sale_id=price.sale.id if price.sale is not None else None,
            is_offered=sku.is_offered,
            status=row.status,
        )
    return quoted


async def begin_sale(connection: AsyncConnection, sale_id: int) -> None:
    """Its time has come, and nobody has written that down yet."""
    mine = (flash_sales.c.id == sale_id) & (flash_sales.c.status == ANNOUNCED)
    await connection.execute(update(flash_sales).where(mine).values(status=RUNNING))


_goods = select(skus, products.c.owner, products.c.title, products.c.currency, products.c.status).join(
    products, products.c.id == skus.c.product_id
)
