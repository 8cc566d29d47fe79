"""The catalogue: products with their SKUs, made, changed, put away and looked for.

A change may name the version it was made from; if that is not the newest it is refused and shown the newest, so that
nobody overwrites what they have not seen. Stock is not part of the version: it moves with every order. It is changed by
a difference, or to a number together with the number that was seen, by conditional statements; so no order is lost.
Rooms hear of every change that they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.busy import in_transaction
from streamd.db.shop_tables import products, room_counters, skus
from streamd.db.tables import room_members, rooms
from streamd.errors import ConflictError, InvalidError
from streamd.shop.goods import ACTIVE, ARCHIVED, SOLD_OUT, Product, Sale, Sku
from streamd.shop.money import check_currency, check_price
from streamd.shop.pricing import Offer, is_over, offer_of
from streamd.shop.reading import find_product, hold, read_products, read_sales, unknown_sku
from streamd.shop.telling import Teller

TITLE_LIMIT: Final = 200
DESCRIPTION_LIMIT: Final = 5_000
SKU_NAME_LIMIT: Final = 100
SKU_LIMIT_COUNT: Final = 50
STOCK_LIMIT: Final = 10_000_000
_STATUSES: Final = (ACTIVE, SOLD_OUT, ARCHIVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSku:
    """A variant to be."""

    price_minor: int
    stock: int
    name: str = ""
    original_price_minor: int | None = None
    buyer_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StockTo:
    """Stock as a number, good as long as it still is what was `seen`."""

    to: int
    seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockBy:
    """So many more, or fewer."""

    by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SkuChange:
    """What is to change of a SKU: `values` by column (name, price_minor, original_price_minor, buyer_limit,
    is_offered)."""

    id: int
    values: Mapping[str, Any] = field(default_factory=dict)
    stock: StockTo | StockBy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductChange:
    """What is to change: `values` by column (title, description, image, status), SKUs that are there, SKUs to add."""

    values: Mapping[str, Any] = field(default_factory=dict)
    skus: Sequence[SkuChange] = ()
    new_skus: Sequence[NewSku] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ware:
    """A product with what it costs now; `sales` by SKU."""

    product: Product
    offer: Offer
    sales: Mapping[int, Sale]


class Catalogue:
    """All products. Every coroutine is cancel-safe: whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, teller: Teller) -> None:
        self._engine = engine
        self._clock = clock
        self._teller = teller

    async def create(
        self, *, owner: str, title: str, variants: Sequence[NewSku], description: str = "", currency: str = "CNY"
    ) -> Ware:
        """A new product of an account's. Raises InvalidError."""
        _check_words({"title": title, "description": description})
        if not 1 <= len(variants) <= SKU_LIMIT_COUNT:
            raise InvalidError(f"a product has 1 to {SKU_LIMIT_COUNT} SKUs", code="sku_count")
        now_ms = self._clock.utc_ms()
        row = {
            "owner": owner,
            "title": title.strip(),
            "description": description,
            "currency": check_currency(currency),
            "status": ACTIVE,
            "version": 1,
            "created_at_ms": now_ms,
            "updated_at_ms": now_ms,
        }

        async def work(connection: AsyncConnection) -> int:
            made = await connection.execute(insert(products).values(row))
            product_id = int((made.inserted_primary_key or (0,))[0])
            await _add_skus(connection, product_id, variants, after=0)
            return product_id

        return await self.get(await in_transaction(self._engine, work))

    async def get(self, product_id: int) -> Ware:
        """One, with what it costs now. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            product = await find_product(connection, product_id)
            return await self._ware(connection, product)

    async def page(self, *, owner: str, words: str = "", status: str = "", before: int = 0, limit: int) -> list[Ware]:
        """An account's products, newest first, from behind the id `before` (0: the newest).

        `words` are looked for in titles, whatever their case; without a `status`, what is put away is left out.
        """
        query = select(products.c.id).where(products.c.owner == owner).order_by(products.c.id.desc()).limit(limit)
        query = query.where(products.c.status == status if status else products.c.status != ARCHIVED)
        if before:
            query = query.where(products.c.id < before)
        if words:
            query = query.where(products.c.title.icontains(words, autoescape=True))
        async with self._engine.connect() as connection:
            ids = (await connection.scalars(query)).all()
            goods = await read_products(connection, ids)
            sales = await read_sales(connection, goods)
        now_ms = self._clock.utc_ms()
        return [Ware(product=each, offer=offer_of(each, sales, at_ms=now_ms), sales=sales) for each in goods]

    async def may_manage(self, *, user_id: int, name: str, owner: str) -> bool:
        """Whether somebody may change an account's goods: their own, or as host or assistant in a room of it."""
        if name == owner:
            return True
        query = (
            select(rooms.c.id)
            .join(room_members, room_members.c.room_id == rooms.c.id)
            .where(room_members.c.user_id == user_id, room_members.c.role.in_(("host", "assistant")))
            .where(rooms.c.owner == owner)
            .limit(1)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).first() is not None

    async def change(self, product_id: int, change: ProductChange, *, version: int | None = None) -> Ware:
        """Change what is named; what is already so stays, and a change of nothing tells nobody.

        Raises InvalidError, NotFoundError (product, SKU), ConflictError: an older version, stock that moved or would
        fall below nothing, a price that would not stand above a flash sale's, a product that is needed and cannot be
        put away.
        """
        _check_words(change.values)
        if change.values.get("status", ACTIVE) not in _STATUSES:
            raise InvalidError("a product is active, sold_out or archived", code="product_status")

        async def work(connection: AsyncConnection) -> Ware:
            await hold(connection, product_id)
            before = await find_product(connection, product_id)
            if version is not None and version != before.version:
                raise _stale(before)
            await self._apply(connection, before, change)
            after = await find_product(connection, product_id)
            if after != before:
                await self._teller.tell_products(connection, [product_id])
            return await self._ware(connection, after)

        ware = await in_transaction(self._engine, work)
        self._teller.wake()
        return ware

    async def _apply(self, connection: AsyncConnection, before: Product, change: ProductChange) -> None:
        values = {name: value for name, value in change.values.items() if getattr(before, name) != value}
        is_new = bool(values or change.new_skus)
        if values.get("status") == ARCHIVED:
            await self._refuse_while_needed(connection, before)
        sales = await read_sales(connection, [before])
        by_id = {sku.id: sku for sku in before.skus}
        for each in change.skus:
            sku = by_id.get(each.id)
            if sku is None:
                raise unknown_sku(each.id)
            is_new |= await self._change_sku(connection, sku, each, sales.get(sku.id))
            await _change_stock(connection, sku, each.stock)
        if len(before.skus) + len(change.new_skus) > SKU_LIMIT_COUNT:
            raise ConflictError(f"a product has at most {SKU_LIMIT_COUNT} SKUs", code="sku_count")
        last = max(sku.position for sku in before.skus)
        await _add_skus(connection, before.id, change.new_skus, after=last)
        if is_new:
            moved = values | {"version": before.version + 1, "updated_at_ms": self._clock.utc_ms()}
            await connection.execute(update(products).where(products.c.id == before.id).values(moved))

    async def _change_sku(self, connection: AsyncConnection, sku: Sku, change: SkuChange, sale: Sale | None) -> bool:
        values = {name: value for name, value in change.values.items() if getattr(sku, name) != value}
        price_minor = check_price(values.get("price_minor", sku.price_minor))
        stands = sale is not None and not is_over(sale, at_ms=self._clock.utc_ms())
        if sale is not None and stands and (price_minor <= sale.price_minor or not values.get("is_offered", True)):
            raise ConflictError(
                f"a flash sale of SKU {sku.id} at {sale.price_minor} stands",
                why="its price must undercut the SKU's, which must be offered",
                fix="end or cancel the sale first",
                code="sale_stands",
            )
        if "is_offered" in values:
            values["is_offered"] = int(values["is_offered"])
        if values:
            await connection.execute(update(skus).where(skus.c.id == sku.id).values(values))
        return bool(values)

    async def _refuse_while_needed(self, connection: AsyncConnection, product: Product) -> None:
        sales = await read_sales(connection, [product])
        if any(not is_over(sale, at_ms=self._clock.utc_ms()) for sale in sales.values()):
            what, fix = "a flash sale of it stands", "end or cancel the sale first"
        elif (slug := await connection.scalar(_pinned_in(product.id))) is not None:
            what, fix = f"it is the card of room {slug!r}", "take the card away first"
        else:
            return
        raise ConflictError(f"product {product.id} cannot be put away", why=what, fix=fix, code="product_needed")

    async def _ware(self, connection: AsyncConnection, product: Product) -> Ware:
        sales = await read_sales(connection, [product])
        return Ware(product=product, offer=offer_of(product, sales, at_ms=self._clock.utc_ms()), sales=sales)


async def _add_skus(connection: AsyncConnection, product_id: int, variants: Sequence[NewSku], *, after: int) -> None:
    for position, sku in enumerate(variants, start=after + 1):
        row = {
            "product_id": product_id,
            "name": _line("SKU's name", sku.name, SKU_NAME_LIMIT),
            "price_minor": check_price(sku.price_minor),
            "original_price_minor": sku.original_price_minor,
            "stock": sku.stock,
            "buyer_limit": sku.buyer_limit,
            "position": position,
            "is_offered": 1,
        }
        await connection.execute(insert(skus).values(row))


async def _change_stock(connection: AsyncConnection, sku: Sku, change: StockTo | StockBy | None) -> None:
    if change is None:
        return
    mine = update(skus).where(skus.c.id == sku.id)
    if isinstance(change, StockTo):
        statement = mine.where(skus.c.stock == change.seen).values(stock=change.to)
    else:
        after = skus.c.stock + change.by
        statement = mine.where(after >= 0, after <= STOCK_LIMIT).values(stock=after)
    if (await connection.execute(statement)).rowcount:
        return
    if isinstance(change, StockTo):
        raise ConflictError(
            f"the stock of SKU {sku.id} is {sku.stock} by now, and not {change.seen}",
            why="it was sold or changed since you looked",
            fix='look again, or say the difference: {"by": 10}',
            code="stock_moved",
        )
    raise ConflictError(
        f"the stock of SKU {sku.id} is {sku.stock}, and cannot be changed by {change.by}",
        why=f"stock is 0 to {STOCK_LIMIT}",
        fix="take away what is there at most",
        code="stock_short",
    )


def _check_words(values: Mapping[str, Any]) -> None:
    if "title" in values and not _line("title", values["title"], TITLE_LIMIT).strip():
        raise InvalidError("a product has a title", fix="say what it is", code="product_title")
    if len(values.get("description", "")) > DESCRIPTION_LIMIT:
        raise InvalidError(
            "this description is too long", why=f"{DESCRIPTION_LIMIT} characters fit", code="product_description"
        )


def _line(what: str, text: str, limit: int) -> str:
    if len(text) <= limit and not any(ord(character) < 0x20 for character in text):
        return text
    raise InvalidError(f"this {what} cannot be used", why=f"{limit} characters on one line fit", code="product_words")


def _stale(newest: Product) -> ConflictError:
    prices = ", ".join(f"{sku.name or 'its SKU'} at {sku.price_minor}" for sku in newest.skus[:5])
    return ConflictError(
        f"product {newest.id} was changed meanwhile: it is version {newest.version} by now",
        why=f"it is {newest.title!r}, {newest.status}, {prices} {newest.currency}",
        fix=f"look at it again, and send the change with version {newest.version}",
        code="version_stale",
    )


def _pinned_in(product_id: int) -> Any:
    pinned = room_counters.c.card_product_id == product_id
    return select(rooms.c.slug).join(room_counters, room_counters.c.room_id == rooms.c.id).where(pinned).limit(1)
