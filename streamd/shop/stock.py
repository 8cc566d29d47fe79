"""Stock, sold counts and buyers' counts: taken and given back by conditional statements, within an order's transaction.

Whoever takes or gives holds the SKU's row first (`hold`): on MySQL the row, on SQLite the database. What is read after
that is exact until the commit, for everything that changes these numbers goes the same way; the conditions in the
statements stay, so that a mistake elsewhere makes an order fail and never sells what is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import bindparam, select, tuple_, update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.db.shop_tables import buyer_counts, flash_sales, products, skus
from streamd.errors import UnavailableError

SKU: Final = "sku"
SALE: Final = "sale"

_hold = update(skus).where(skus.c.id.in_(bindparam("held", expanding=True))).values(stock=skus.c.stock)
_take_stock = (
    update(skus)
    .where(skus.c.id == bindparam("the_id"), skus.c.stock >= bindparam("n"))
    .values(stock=skus.c.stock - bindparam("n"))
)
_give_stock = update(skus).where(skus.c.id == bindparam("the_id")).values(stock=skus.c.stock + bindparam("n"))
_take_sale = (
    update(flash_sales)
    .where(
        flash_sales.c.id == bindparam("the_id"),
        flash_sales.c.status == "running",
        flash_sales.c.sold + bindparam("n") <= flash_sales.c.quantity,
    )
    .values(sold=flash_sales.c.sold + bindparam("n"))
)
_give_sale = (
    update(flash_sales)
    .where(flash_sales.c.id == bindparam("the_id"), flash_sales.c.sold >= bindparam("n"))
    .values(sold=flash_sales.c.sold - bindparam("n"))
)
_give_count = (
    update(buyer_counts)
    .where(
        buyer_counts.c.scope == bindparam("the_scope"),
        buyer_counts.c.scope_id == bindparam("the_id"),
        buyer_counts.c.buyer_id == bindparam("the_buyer"),
        buyer_counts.c.count >= bindparam("n"),
    )
    .values(count=buyer_counts.c.count - bindparam("n"))
)


class StockMovedError(Exception):
    """A condition did not hold although it was read to: the transaction is to be rolled back and made anew."""


@dataclass(slots=True)
class Shelf:
    """What is there, for orders that are decided together; counts down as they are."""

    stock: dict[int, int] = field(default_factory=dict)
    sku_limits: dict[int, int | None] = field(default_factory=dict)
    sale_left: dict[int, int] = field(default_factory=dict)
    sale_limits: dict[int, int | None] = field(default_factory=dict)
    # By scope, its id and the buyer.
    held: dict[tuple[str, int, int], int] = field(default_factory=dict)
    # What was taken of each.
    taken_stock: dict[int, int] = field(default_factory=dict)
    taken_sale: dict[int, int] = field(default_factory=dict)
    taken_counts: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def take(self, *, sku_id: int, sale_id: int | None, buyer_id: int, count: int) -> None:
        """Count down, after it was found to be there."""
        _add(self.taken_stock, sku_id, count)
        self.stock[sku_id] -= count
        scopes = [(SKU, sku_id, buyer_id)]
        if sale_id is not None:
            _add(self.taken_sale, sale_id, count)
            self.sale_left[sale_id] -= count
            scopes.append((SALE, sale_id, buyer_id))
        for scope in scopes:
            _add(self.taken_counts, scope, count)
            _add(self.held, scope, count)


async def hold(connection: AsyncConnection, sku_ids: Iterable[int]) -> None:
    """Nobody else takes or gives of these until the transaction ends."""
    wanted = sorted(set(sku_ids))
    if connection.dialect.name != "sqlite":
        # An order refers to its product, and MySQL locks what is referred to. Products come before SKUs everywhere (the
        # order of `reading`): taken when the order is written, this one would wait for who changes the product and has
        # the SKU to come.
        goods = select(skus.c.product_id).where(skus.c.id.in_(wanted))
        product_ids = sorted(set(await connection.scalars(goods)))
        share = select(products.c.id).where(products.c.id.in_(product_ids)).with_for_update(read=True)
        await connection.execute(share.order_by(products.c.id))
    # Rows are locked as they are found, and they are found by the primary key, in its order.
    await connection.execute(_hold, {"held": wanted})


async def read_shelf(
    connection: AsyncConnection, *, sku_ids: Sequence[int], sale_ids: Sequence[int], buyers: Mapping[int, set[int]]
) -> Shelf:
    """How much there is. `buyers` are those who want of a SKU, by SKU. After `hold`."""
    shelf = Shelf()
    query = select(skus.c.id, skus.c.stock, skus.c.buyer_limit).where(skus.c.id.in_(sku_ids))
    for row in await connection.execute(query):
        shelf.stock[row.id], shelf.sku_limits[row.id] = row.stock, row.buyer_limit
    scopes = [(SKU, sku_id, buyer) for sku_id in sku_ids if shelf.sku_limits.get(sku_id) for buyer in buyers[sku_id]]
    if sale_ids:
        columns = (flash_sales.c.id, flash_sales.c.sku_id, flash_sales.c.quantity, flash_sales.c.sold)
        query_sales = select(*columns, flash_sales.c.buyer_limit).where(flash_sales.c.id.in_(sale_ids))
        for sale in await connection.execute(query_sales):
            shelf.sale_left[sale.id], shelf.sale_limits[sale.id] = sale.quantity - sale.sold, sale.buyer_limit
            if sale.buyer_limit:
                scopes += [(SALE, sale.id, buyer) for buyer in buyers[sale.sku_id]]
    if scopes:
        key = tuple_(buyer_counts.c.scope, buyer_counts.c.scope_id, buyer_counts.c.buyer_id)
        query_held = select(*key.clauses, buyer_counts.c.count.label("n")).where(key.in_(scopes))
        for held in await connection.execute(query_held):
            shelf.held[(held.scope, held.scope_id, held.buyer_id)] = held.n
    return shelf


async def take(connection: AsyncConnection, shelf: Shelf) -> None:
    """Write what was taken. Raises StockMovedError."""
    for statement, taken in ((_take_stock, shelf.taken_stock), (_take_sale, shelf.taken_sale)):
        rows = [{"the_id": the_id, "n": n} for the_id, n in sorted(taken.items())]
        if rows and (await connection.execute(statement, rows)).rowcount != len(rows):
            raise StockMovedError
    if shelf.taken_counts:
        await _count_up(connection, shelf.taken_counts)


async def _count_up(connection: AsyncConnection, counts: Mapping[tuple[str, int, int], int]) -> None:
    values = [
        {"scope": scope, "scope_id": scope_id, "buyer_id": buyer_id, "count": n}
        for (scope, scope_id, buyer_id), n in sorted(counts.items())
    ]
    if connection.dialect.name == "sqlite":
        lite = sqlite_insert(buyer_counts)
        await connection.execute(
            lite.on_conflict_do_update(
                index_elements=["scope", "scope_id", "buyer_id"],
                set_={"count": buyer_counts.c.count + lite.excluded["count"]},
            ),
            values,
        )
        return
    mine = mysql_insert(buyer_counts)
    await connection.execute(mine.on_duplicate_key_update(count=buyer_counts.c.count + mine.inserted.count), values)


class Taken(Protocol):
    """What an order took."""

    @property
    def sku_id(self) -> int: ...
    @property
    def sale_id(self) -> int | None: ...
    @property
    def buyer_id(self) -> int: ...
    @property
    def count(self) -> int: ...


async def give_back(connection: AsyncConnection, order: Taken) -> None:
    """Everything that an order took. Call it in the transaction of the step that ends the order, once."""
    n = order.count
    await connection.execute(_give_stock, {"the_id": order.sku_id, "n": n})
    counts = [(SKU, order.sku_id)]
    if order.sale_id is not None:
        if not (await connection.execute(_give_sale, {"the_id": order.sale_id, "n": n})).rowcount:
            raise _lost("sale", order.sale_id)
        counts.append((SALE, order.sale_id))
    for scope, scope_id in counts:
        mine = {"the_scope": scope, "the_id": scope_id, "the_buyer": order.buyer_id, "n": n}
        if not (await connection.execute(_give_count, mine)).rowcount:
            raise _lost(scope, scope_id)


def _lost(scope: str, scope_id: int) -> UnavailableError:
    return UnavailableError(
        f"the counts of {scope} {scope_id} do not hold what an order took from them",
        why="they were changed by other means than orders",
        fix="compare buyer_counts and flash_sales with the orders that are not cancelled",
        code="counts_wrong",
    )


def _add(counts: dict[Any, int], key: Any, n: int) -> None:
    counts[key] = counts.get(key, 0) + n
