"""Orders as they stand: found, listed, moved along their life. How they are placed is in `placing` and `till`.

What an order took is given back in the transaction of the step that ends it, and that step is made once: whoever else
tries finds the order in another state. Facts for the room leave by the outbox in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.busy import when_free
from streamd.db.shop_tables import order_steps, orders
from streamd.db.tables import rooms, users
from streamd.errors import NotFoundError
from streamd.shop.order_ports import Facts, GoodsNews
from streamd.shop.states import CANCELLED, COMPLETED, EXPIRY, SHIPPED, UNPAID, check_step
from streamd.shop.steps import must_step, step
from streamd.shop.stock import give_back

NUMBER_PATTERN: Final = r"^[0-9A-HJKMNP-TV-Z]{20}$"
EXPIRE: Final = "order.expire"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. `shipping_sealed` is opened by `shipping.ShippingBook`."""

    id: int
    number: str
    room: str
    room_id: int
    buyer_id: int
    buyer_name: str
    buyer_display_name: str
    product_id: int
    sku_id: int
    sale_id: int | None
    count: int
    title: str
    sku_name: str
    unit_price_minor: int
    total_minor: int
    currency: str
    status: str
    request_hash: str
    shipping_sealed: str | None
    tracking: str
    placed_at_ms: int
    expires_at_ms: int
    paid_at_ms: int | None
    changed_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStep:
    """A line of an order's history."""

    status: str
    at_ms: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who makes a step: account name, and what they are to this order."""

    name: str
    parties: frozenset[str]


_OWN = tuple(name for name in Order.__slots__ if name not in ("room", "buyer_name", "buyer_display_name"))


def select_orders() -> Select[Any]:
    """All columns that `order_of` wants."""
    return (
        select(
            *(orders.c[name] for name in _OWN),
            rooms.c.slug.label("room"),
            users.c.name.label("buyer_name"),
            users.c.display_name.label("buyer_display_name"),
        )
        .join(rooms, rooms.c.id == orders.c.room_id)
        .join(users, users.c.id == orders.c.buyer_id)
    )


def order_of(row: Row[Any]) -> Order:
    """An order from a row of `select_orders`."""
    return Order(**row._mapping)


async def find_order(connection: AsyncConnection, number: str) -> Order:
    """Within the caller's transaction. Raises NotFoundError."""
    row = (await connection.execute(select_orders().where(orders.c.number == number))).first()
    if row is None:
        raise unknown_order()
    return order_of(row)


def unknown_order() -> NotFoundError:
    """There is none, or it is none of theirs: nobody learns which."""
    return NotFoundError("there is no such order", fix="see your orders at GET /api/v1/orders", code="order_unknown")


class Orders:
    """All orders. Every coroutine is cancel-safe: a step is made whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, facts: Facts, news: GoodsNews) -> None:
        self._engine = engine
        self._clock = clock
        self._facts = facts
        self._news = news

    # --- as they stand ---

    async def get(self, number: str) -> Order:
        """Raises NotFoundError."""
        async with self._engine.connect() as connection:
            return await find_order(connection, number)

    async def history(self, order: Order) -> list[OrderStep]:
        """Its steps, oldest first."""
        columns = (order_steps.c[name] for name in OrderStep.__slots__)
        query = select(*columns).where(order_steps.c.order_id == order.id).order_by(order_steps.c.id)
        async with self._engine.connect() as connection:
            return [OrderStep(**row._mapping) for row in await connection.execute(query)]

    async def of_buyer(self, buyer_id: int, *, before: int | None = None, limit: int) -> list[Order]:
        """Somebody's, newest first. `before` is an order's id."""
        return await self._page(select_orders().where(orders.c.buyer_id == buyer_id), before, limit)

    async def of_room(
        self, room: str, *, status: str | None = None, before: int | None = None, limit: int
    ) -> list[Order]:
        """A room's, newest first."""
        query = select_orders().where(rooms.c.slug == room)
        if status is not None:
            query = query.where(orders.c.status == status)
        return await self._page(query, before, limit)

    async def _page(self, query: Select[Any], before: int | None, limit: int) -> list[Order]:
        if before is not None:
            query = query.where(orders.c.id < before)
        async with self._engine.connect() as connection:
            return [order_of(row) for row in await connection.execute(query.order_by(orders.c.id.desc()).limit(limit))]

    # --- how they go on ---

    async def cancel(self, number: str, *, by: By, reason: str = "") -> None:
        """Give an unpaid order up. Raises NotFoundError, ConflictError, ForbiddenError."""

        async def give_up() -> None:
            async with self._engine.begin() as connection:
                order = await find_order(connection, number)
                check_step(order.status, CANCELLED, by.parties)
                at_ms, frm = self._clock.utc_ms(), order.status
                await must_step(connection, order.id, frm=frm, to=CANCELLED, at_ms=at_ms, actor=by.name, reason=reason)
                await self._give_back(connection, order)

        await when_free(give_up)
        self._facts.wake()

    async def ship(self, number: str, *, tracking: str, by: By) -> None:
        """It is on its way. Raises as `cancel`."""
        await self._move(number, SHIPPED, by=by, values={"tracking": tracking}, reason=tracking)

    async def complete(self, number: str, *, by: By) -> None:
        """It has arrived. Raises as `cancel`."""
        await self._move(number, COMPLETED, by=by)

    async def _move(
        self, number: str, wanted: str, *, by: By, values: dict[str, Any] | None = None, reason: str = ""
    ) -> None:
        async def move() -> None:
            async with self._engine.begin() as connection:
                order = await find_order(connection, number)
                check_step(order.status, wanted, by.parties)
                more: dict[str, Any] = {
                    "at_ms": self._clock.utc_ms(),
                    "actor": by.name,
                    "reason": reason,
                    "values": values,
                }
                await must_step(connection, order.id, frm=order.status, to=wanted, **more)

        await when_free(move)

    async def expire(self, number: str) -> bool:
        """Cancel it if it is unpaid and its time is over; whether it was. Anybody may ask, as often as they like."""
        is_mine = await when_free(lambda: self._expire(number))
        if is_mine:
            self._facts.wake()
        return is_mine

    async def _expire(self, number: str) -> bool:
        now_ms = self._clock.utc_ms()
        async with self._engine.begin() as connection:
            order = await find_order(connection, number)
            if order.status not in UNPAID or order.expires_at_ms > now_ms:
                return False
            is_mine = await step(
                connection, order.id, frm=order.status, to=CANCELLED, at_ms=now_ms, actor=EXPIRY, reason="not paid"
            )
            if is_mine:
                await self._give_back(connection, order)
        return is_mine

    async def _give_back(self, connection: AsyncConnection, order: Order) -> None:
        await give_back(connection, order)
        await self._news.tell_products(connection, [order.product_id])
