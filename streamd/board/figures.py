"""The figures of a programme, counted by the database from rows that stay: what a person with SQL can count again.

A programme's time is from its beginning to its end (now, while it runs). An order belongs to it that was placed in its
room in that time, whatever became of it later; `paid` and `refunded` follow their orders, to the minute of the order. A
message belongs to it that was shown. Money is in minor units, by currency.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, distinct, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.board_tables import card_minutes, show_minutes, show_nodes, shows, visits
from streamd.db.shop_tables import orders, payments, products, refunds
from streamd.db.tables import danmaku, rooms
from streamd.errors import NotFoundError

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """A programme."""

    id: int
    room: str
    title: str
    started_at_ms: int
    ended_at_ms: int | None
    until_ms: int  # its end, or now


@dataclass(slots=True, kw_only=True)
class Money:
    """In one currency, minor units."""

    ordered_minor: int = 0
    paid_minor: int = 0
    refunded_minor: int = 0


@dataclass(slots=True, kw_only=True)
class Sold:
    """Of a show, a product or a minute."""

    exposures: int = 0
    clicks: int = 0
    orders: int = 0
    units: int = 0
    paid_orders: int = 0
    refunds: int = 0
    buyers: int = 0
    money: dict[str, Money] = field(default_factory=dict)  # by currency

    def in_currency(self, currency: str) -> Money:
        """Made when it is first asked for."""
        return self.money.setdefault(currency, Money())


@dataclass(slots=True, kw_only=True)
class ProductFigures(Sold):
    """Of one product."""

    id: int
    title: str = ""


@dataclass(slots=True, kw_only=True)
class MinuteFigures(Sold):
    """Of one minute. `came` counts visits that began in it."""

    at_ms: int
    online_peak: int = 0
    likes: int = 0
    messages: int = 0
    came: int = 0


@dataclass(slots=True, kw_only=True)
class Figures(Sold):
    """Of a whole programme."""

    show: Show
    viewers: int = 0
    visits: int = 0
    watch_ms: int = 0
    peak: int = 0
    likes: int = 0
    messages: int = 0
    products: list[ProductFigures] = field(default_factory=list)
    minutes: list[MinuteFigures] = field(default_factory=list)


class Board:
    """Reads only. Coroutines are cancel-safe."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def shows(self, room: str, *, before: int, limit: int) -> list[Show]:
        """A room's programmes, newest first, with ids below `before`. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            room_id = await connection.scalar(select(rooms.c.id).where(rooms.c.slug == room))
            if room_id is None:
                raise NotFoundError(f"there is no room {room}", fix="see the list of rooms", code="room_unknown")
            query = select(shows).where(shows.c.room_id == room_id, shows.c.id < before)
            rows = await connection.execute(query.order_by(shows.c.id.desc()).limit(limit))
            return [self._show(row, room) for row in rows]

    async def figures(self, room: str, *, show_id: int | None) -> Figures:
        """Of one programme; None: the newest. Raises NotFoundError."""
        query = select(shows).join(rooms, rooms.c.id == shows.c.room_id).where(rooms.c.slug == room)
        if show_id is not None:
            query = query.where(shows.c.id == show_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query.order_by(shows.c.id.desc()).limit(1))).first()
            if row is None:
                raise NotFoundError("there is no such programme", fix="see the room's programmes", code="show_unknown")
            return await _Count(connection, row, self._show(row, room)).all()

    def _show(self, row: Row[Any], room: str) -> Show:
        return Show(
            id=row.id,
            room=room,
            title=row.title,
            started_at_ms=row.started_at_ms,
            ended_at_ms=row.ended_at_ms,
            until_ms=self._clock.utc_ms() if row.ended_at_ms is None else row.ended_at_ms,
        )


class _Count:
    """One counting of one programme, on one connection."""

    def __init__(self, connection: AsyncConnection, row: Row[Any], show: Show) -> None:
        self._connection = connection
        self._row = row
        self._show = show
        self._figures = Figures(show=show)
        self._products: dict[int, ProductFigures] = {}
        self._minutes: dict[int, MinuteFigures] = {}

    async def all(self) -> Figures:
        """Everything, in so many queries as there are paragraphs below."""
        await self._count_people()
        await self._count_messages()
        await self._count_minutes()
        await self._count_cards()
        await self._count_orders()
        await self._count_refunds()
        await self._name_products()
        figures = self._figures
        figures.products = sorted(self._products.values(), key=lambda each: each.id)
        figures.minutes = sorted(self._minutes.values(), key=lambda each: each.at_ms)
        return figures

    async def _rows(self, query: Any) -> list[Row[Any]]:
        return list((await self._connection.execute(query)).all())

    def _minute(self, at_ms: int) -> MinuteFigures:
        return self._minutes.setdefault(at_ms, MinuteFigures(at_ms=at_ms))

    def _product(self, number: int) -> ProductFigures:
        return self._products.setdefault(number, ProductFigures(id=number))

    async def _count_people(self) -> None:
        row, figures = self._row, self._figures
        if row.kept_viewers is not None:
            figures.viewers, figures.visits, figures.watch_ms = row.kept_viewers, row.kept_visits, row.kept_watch_ms
            return
        of_show = visits.c.show_id == row.id
        # Of who never left: until when their node could say that they were there.
        left = func.coalesce(visits.c.left_at_ms, show_nodes.c.seen_at_ms, visits.c.joined_at_ms)
        until = case((left > self._show.until_ms, self._show.until_ms), else_=left)
        watched = case((until > visits.c.joined_at_ms, until - visits.c.joined_at_ms), else_=0)
        node = and_(show_nodes.c.show_id == visits.c.show_id, show_nodes.c.node == visits.c.node)
        totals = select(
            func.count(distinct(visits.c.viewer)).label("viewers"),
            func.count().label("visits"),
            func.coalesce(func.sum(watched), 0).label("watch_ms"),
        )
        (found,) = await self._rows(totals.select_from(visits.outerjoin(show_nodes, node)).where(of_show))
        figures.viewers, figures.visits, figures.watch_ms = found.viewers, found.visits, int(found.watch_ms)
        minute = _minute_of(visits.c.joined_at_ms)
        for came in await self._rows(select(minute, func.count().label("amount")).where(of_show).group_by("minute_ms")):
            self._minute(came.minute_ms).came = came.amount

    async def _count_messages(self) -> None:
        if self._row.kept_messages is not None:
            self._figures.messages = self._row.kept_messages
            return
        minute = _minute_of(danmaku.c.at_ms)
        said = and_(danmaku.c.room == self._show.room, danmaku.c.status == "shown", self._within(danmaku.c.at_ms))
        for row in await self._rows(select(minute, func.count().label("amount")).where(said).group_by("minute_ms")):
            self._minute(row.minute_ms).messages = row.amount
            self._figures.messages += row.amount

    async def _count_minutes(self) -> None:
        for row in await self._rows(select(show_minutes).where(show_minutes.c.show_id == self._row.id)):
            minute = self._minute(row.minute_ms)
            minute.online_peak, minute.likes = row.online_peak, row.likes
            self._figures.peak = max(self._figures.peak, row.online_peak)
            self._figures.likes += row.likes

    async def _count_cards(self) -> None:
        for row in await self._rows(select(card_minutes).where(card_minutes.c.show_id == self._row.id)):
            for figures in (self._figures, self._product(row.product_id), self._minute(row.minute_ms)):
                figures.exposures += row.exposures
                figures.clicks += row.clicks

    async def _count_orders(self) -> None:
        minute, is_paid = _minute_of(orders.c.placed_at_ms), orders.c.paid_at_ms.is_not(None)
        sums = select(
            minute,
            orders.c.product_id,
            orders.c.currency,
            func.count().label("orders"),
            func.sum(orders.c.count).label("units"),
            func.sum(orders.c.total_minor).label("ordered_minor"),
            func.sum(case((is_paid, 1), else_=0)).label("paid_orders"),
            func.sum(case((is_paid, orders.c.total_minor), else_=0)).label("paid_minor"),
        )
        for row in await self._rows(sums.where(self._ordered()).group_by("minute_ms", "product_id", "currency")):
            for figures in (self._figures, self._product(row.product_id), self._minute(row.minute_ms)):
                figures.orders += row.orders
                figures.units += int(row.units)
                figures.paid_orders += int(row.paid_orders)
                money = figures.in_currency(row.currency)
                money.ordered_minor += int(row.ordered_minor)
                money.paid_minor += int(row.paid_minor)
        buyers = func.count(distinct(orders.c.buyer_id)).label("buyers")
        (total,) = await self._rows(select(buyers).where(self._ordered()))
        self._figures.buyers = total.buyers
        for row in await self._rows(select(orders.c.product_id, buyers).where(self._ordered()).group_by("product_id")):
            self._product(row.product_id).buyers = row.buyers
        for row in await self._rows(select(minute, buyers).where(self._ordered()).group_by("minute_ms")):
            self._minute(row.minute_ms).buyers = row.buyers

    async def _count_refunds(self) -> None:
        minute = _minute_of(orders.c.placed_at_ms)
        sums = (
            select(
                minute,
                orders.c.product_id,
                orders.c.currency,
                func.count().label("refunds"),
                func.sum(refunds.c.amount_minor).label("refunded_minor"),
            )
            .select_from(orders)
            .join(payments, payments.c.order_id == orders.c.id)
            .join(refunds, refunds.c.payment_id == payments.c.id)
            .where(self._ordered(), refunds.c.status == "done")
            .group_by("minute_ms", "product_id", "currency")
        )
        for row in await self._rows(sums):
            for figures in (self._figures, self._product(row.product_id), self._minute(row.minute_ms)):
                figures.refunds += row.refunds
                figures.in_currency(row.currency).refunded_minor += int(row.refunded_minor)

    async def _name_products(self) -> None:
        named = select(products.c.id, products.c.title).where(products.c.id.in_(self._products))
        for row in await self._rows(named):
            self._products[row.id].title = row.title

    def _within(self, at_ms: ColumnElement[int]) -> ColumnElement[bool]:
        return and_(at_ms >= self._show.started_at_ms, at_ms < self._show.until_ms)

    def _ordered(self) -> ColumnElement[bool]:
        return and_(orders.c.room_id == self._row.room_id, self._within(orders.c.placed_at_ms))


def _minute_of(at_ms: ColumnElement[int]) -> ColumnElement[int]:
    """When its minute began."""
    return (at_ms - at_ms % MINUTE_MS).label("minute_ms")
