"""Orders are placed: many at once in one transaction, each accepted or refused for itself.

In: what buyers want, with the hashes of their Idempotency-Keys. Out, in the same order: the order, whether new or the
one that this key placed before, or the error that says why not. Everything an order changes is in the one transaction:
stock, sale, buyer's counts, the order and its first step, its expiry as a job, and what the room hears of it.

Why together: a commit and a dozen round trips cost the same for one order as for sixty-four, and a popular SKU is one
row that only one transaction can hold. What decides is read while its SKUs are held (see `stock`), so that orders of a
transaction are decided one after the other on exact numbers.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.db.shop_tables import order_steps, orders, room_products
from streamd.db.tables import rooms
from streamd.errors import ConflictError, NotFoundError, StreamdError
from streamd.shop.order_ports import Facts, GoodsNews, Later, Quote, Quoting
from streamd.shop.orders import EXPIRE, Order, select_orders
from streamd.shop.states import CREATED
from streamd.shop.stock import SALE, SKU, Shelf, hold, read_shelf, take

# Crockford's: no letter that is taken for a digit or for another letter.
_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_DIGITS, _CHANCE_DIGITS = 10, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What somebody wants."""

    number: str  # by `new_number`; not used where the key has placed an order already
    room: str
    buyer_id: int
    buyer_name: str
    buyer_display_name: str
    sku_id: int
    count: int
    expected_unit_price_minor: int | None
    shipping_sealed: str | None
    key_hash: str
    request_hash: str


Outcome = Order | StreamdError


def new_number(now_ms: int) -> str:
    """What people call an order: 50 bits of time, 50 of chance. Nobody can count by it, nobody can guess another's."""
    value = (now_ms << 50) | secrets.randbits(50)
    width = _TIME_DIGITS + _CHANCE_DIGITS
    return "".join(_DIGITS[(value >> 5 * place) & 31] for place in reversed(range(width)))


def masked(name: str) -> str:
    """A buyer as the room may read of them: the first and the last letter."""
    return f"{name[:1]}***{name[-1:] if len(name) > 1 else ''}"


class Placing:
    """See the module's promise."""

    def __init__(self, *, quoting: Quoting, facts: Facts, news: GoodsNews, later: Later, expiry_ms: int) -> None:
        self._quoting = quoting
        self._facts = facts
        self._news = news
        self._later = later
        self._expiry_ms = expiry_ms

    async def place(self, connection: AsyncConnection, wanted: Sequence[Purchase], now_ms: int) -> list[Outcome]:
        """See the module's promise. Raises StockMovedError, IntegrityError (another process had the same key just
        now), and what the database raises: then nothing was placed, and it may be tried again.
        """
        await hold(connection, [purchase.sku_id for purchase in wanted])
        known = await _known(connection, wanted)
        fresh: dict[tuple[int, str], Purchase] = {}
        for purchase in wanted:
            key = (purchase.buyer_id, purchase.key_hash)
            if key not in known:
                fresh.setdefault(key, purchase)
        outcomes: dict[tuple[int, str], Outcome] = dict(known)
        if fresh:
            placed = await self._place_new(connection, list(fresh.values()), now_ms)
            outcomes |= zip(fresh, placed, strict=True)
        return [_answer(purchase, outcomes, fresh) for purchase in wanted]

    async def _place_new(self, connection: AsyncConnection, wanted: list[Purchase], now_ms: int) -> list[Outcome]:
        quotes = await self._quoting(connection, sorted({one.sku_id for one in wanted}), now_ms)
        listed = await _listed(connection, wanted, quotes)
        shelf = await _shelf(connection, wanted, quotes)
        outcomes: list[Outcome] = []
        rows: list[dict[str, Any]] = []
        for purchase in wanted:
            quote = quotes.get(purchase.sku_id)
            refusal = _refusal(purchase, quote, listed, shelf)
            if refusal is not None or quote is None:
                outcomes.append(refusal or _unknown_sku())
                continue
            shelf.take(sku_id=purchase.sku_id, sale_id=quote.sale_id, buyer_id=purchase.buyer_id, count=purchase.count)
            row = self._row(purchase, quote, listed[(purchase.room, quote.product_id)], now_ms)
            rows.append(row)
            outcomes.append(_order(purchase, row))
        if rows:
            await take(connection, shelf)
            buyers = {one.number: one.buyer_name for one in wanted}
            ids = await self._write(connection, rows, buyers, now_ms)
            outcomes = [_with_id(one, ids) if isinstance(one, Order) else one for one in outcomes]
            await self._tell(connection, [one for one in outcomes if isinstance(one, Order)])
        return outcomes

    def _row(self, purchase: Purchase, quote: Quote, room_id: int, now_ms: int) -> dict[str, Any]:
        return {
            "number": purchase.number,
            "room_id": room_id,
            "buyer_id": purchase.buyer_id,
            "product_id": quote.product_id,
            "sku_id": purchase.sku_id,
            "sale_id": quote.sale_id,
            "count": purchase.count,
            "title": quote.title,
            "sku_name": quote.sku_name,
            "unit_price_minor": quote.unit_price_minor,
            "total_minor": quote.unit_price_minor * purchase.count,
            "currency": quote.currency,
            "status": CREATED,
            "idempotency_hash": purchase.key_hash,
            "request_hash": purchase.request_hash,
            "shipping_sealed": purchase.shipping_sealed,
            "tracking": "",
            "placed_at_ms": now_ms,
            "expires_at_ms": now_ms + self._expiry_ms,
            "paid_at_ms": None,
            "changed_at_ms": now_ms,
        }

    async def _write(
        self, connection: AsyncConnection, rows: list[dict[str, Any]], buyers: Mapping[str, str], now_ms: int
    ) -> dict[str, int]:
        """Orders, their first steps and their expiries; ids by numbers."""
        await connection.execute(insert(orders), rows)
        query = select(orders.c.id, orders.c.number).where(orders.c.number.in_([row["number"] for row in rows]))
        ids = {row.number: int(row.id) for row in await connection.execute(query)}
        first = {"status": CREATED, "at_ms": now_ms, "reason": ""}
        steps = [first | {"order_id": ids[row["number"]], "actor": buyers[row["number"]]} for row in rows]
        await connection.execute(insert(order_steps), steps)
        due_at_ms = {str(row["number"]): int(row["expires_at_ms"]) for row in rows}
        await self._later.add_new(connection, kind=EXPIRE, due_at_ms=due_at_ms)
        return ids

    async def _tell(self, connection: AsyncConnection, placed: Sequence[Order]) -> None:
        bubbles = [
            (
                order.room,
                {"buyer": masked(order.buyer_display_name), "product_id": order.product_id, "count": order.count},
            )
            for order in placed
        ]
        await self._facts.add_all(connection, event="order", facts=bubbles)
        await self._news.tell_products(connection, {order.product_id for order in placed})


async def _known(connection: AsyncConnection, wanted: Sequence[Purchase]) -> dict[tuple[int, str], Order]:
    """What these keys have placed already."""
    keys = [(one.buyer_id, one.key_hash) for one in wanted]
    columns = tuple_(orders.c.buyer_id, orders.c.idempotency_hash)
    query = select_orders().add_columns(orders.c.idempotency_hash).where(columns.in_(keys))
    found: dict[tuple[int, str], Order] = {}
    for row in await connection.execute(query):
        fields = dict(row._mapping)
        key_hash = fields.pop("idempotency_hash")
        found[(row.buyer_id, key_hash)] = Order(**fields)
    return found


async def _listed(
    connection: AsyncConnection, wanted: Sequence[Purchase], quotes: Mapping[int, Quote]
) -> dict[tuple[str, int], int]:
    """Room ids, by room and product, of the products that are in the rooms' lists."""
    products = {quote.product_id for quote in quotes.values()}
    query = (
        select(rooms.c.slug, rooms.c.id, room_products.c.product_id)
        .join(room_products, room_products.c.room_id == rooms.c.id)
        .where(rooms.c.slug.in_({one.room for one in wanted}), room_products.c.product_id.in_(products))
    )
    return {(row.slug, row.product_id): int(row.id) for row in await connection.execute(query)}


async def _shelf(connection: AsyncConnection, wanted: Sequence[Purchase], quotes: Mapping[int, Quote]) -> Shelf:
    sku_ids = sorted(quotes)
    sale_ids = sorted({quote.sale_id for quote in quotes.values() if quote.sale_id is not None})
    buyers: dict[int, set[int]] = {sku_id: set() for sku_id in sku_ids}
    for one in wanted:
        buyers.setdefault(one.sku_id, set()).add(one.buyer_id)
    return await read_shelf(connection, sku_ids=sku_ids, sale_ids=sale_ids, buyers=buyers)


def _refusal(
    purchase: Purchase, quote: Quote | None, listed: Mapping[tuple[str, int], int], shelf: Shelf
) -> StreamdError | None:
    """Why not; None where nothing stands against it."""
    if quote is None or (purchase.room, quote.product_id) not in listed:
        return _unknown_sku()
    if quote.status != "active" or not quote.is_offered:
        return ConflictError(f"{quote.title} is not on sale now", fix="look at the room's list", code="not_on_sale")
    expected = purchase.expected_unit_price_minor
    if expected is not None and expected != quote.unit_price_minor:
        return ConflictError(
            f"the price has changed: one costs {quote.unit_price_minor} now",
            why=f"the order expected {expected}, in the minor unit of {quote.currency}",
            fix="show the buyer the new price, and ask again with it",
            code="price_changed",
        )
    return _shortage(purchase, quote, shelf)


def _shortage(purchase: Purchase, quote: Quote, shelf: Shelf) -> ConflictError | None:
    wanted, buyer, sale_id = purchase.count, purchase.buyer_id, quote.sale_id
    if shelf.stock.get(purchase.sku_id, 0) < wanted:
        left = shelf.stock.get(purchase.sku_id, 0)
        return ConflictError(f"{left} of {quote.title} are left", fix="order fewer, or wait", code="sold_out")
    limits = [(SKU, purchase.sku_id, shelf.sku_limits.get(purchase.sku_id))]
    if sale_id is not None:
        if shelf.sale_left.get(sale_id, 0) < wanted:
            left = shelf.sale_left.get(sale_id, 0)
            what = f"{left} of {quote.title} are left at this price"
            return ConflictError(what, fix="order fewer, or at the price after the sale", code="sale_sold_out")
        limits.append((SALE, sale_id, shelf.sale_limits.get(sale_id)))
    for scope, scope_id, limit in limits:
        held = shelf.held.get((scope, scope_id, buyer), 0)
        if limit and held + wanted > limit:
            return ConflictError(
                f"one buyer may have {limit} of {quote.title}",
                why=f"you have {held} in orders that are not cancelled" if held else "",
                fix="order fewer",
                code="buyer_limit",
            )
    return None


def _answer(
    purchase: Purchase, outcomes: Mapping[tuple[int, str], Outcome], fresh: Mapping[tuple[int, str], Purchase]
) -> Outcome:
    key = (purchase.buyer_id, purchase.key_hash)
    outcome, first = outcomes[key], fresh.get(key)
    said = first.request_hash if first is not None else getattr(outcome, "request_hash", "")
    return outcome if said == purchase.request_hash else key_reused()


def key_reused() -> ConflictError:
    """One key, two requests."""
    return ConflictError(
        "this Idempotency-Key placed another order",
        why="a key stands for one order, and this request says something else",
        fix="use a new key for a new order",
        code="idempotency_key_reused",
    )


def _order(purchase: Purchase, row: Mapping[str, Any]) -> Order:
    own = {name: value for name, value in row.items() if name != "idempotency_hash"}
    return Order(
        id=0,
        room=purchase.room,
        buyer_name=purchase.buyer_name,
        buyer_display_name=purchase.buyer_display_name,
        **own,
    )


def _with_id(order: Order, ids: Mapping[str, int]) -> Order:
    own = {name: getattr(order, name) for name in Order.__slots__}
    return Order(**(own | {"id": ids[order.number]}))


def _unknown_sku() -> NotFoundError:
    return NotFoundError("the room sells no such thing", fix="look at the room's list", code="sku_unknown")
