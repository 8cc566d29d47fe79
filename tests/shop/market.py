"""A room that sells, with all of the shop that an order meets: real outbox, real jobs, a till that runs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.clock import Clock
from streamd.db import shop_tables as tables
from streamd.db.tables import rooms, users
from streamd.jobs.worker import Jobs
from streamd.shop.orders import Order, Orders
from streamd.shop.outbox import Outbox
from streamd.shop.placing import Placing, Purchase, new_number
from streamd.shop.quotes import quotes
from streamd.shop.telling import Teller
from streamd.shop.till import Till, TillSettings
from streamd.telemetry.log import get_log
from tests.support.clock import FakeClock

EXPIRY_MS = 15 * 60_000


class NoRooms:
    """Nobody is in any room."""

    async def publish(self, room: str, event: str, payload: Mapping[str, object], *, key: str = "") -> int:
        return 0


class PlainSealer:
    """Reversible, and bound to its place, without a key."""

    def seal_text(self, text: str, *, place: str) -> str:
        return base64.b64encode(f"{place}\0{text}".encode()).decode()

    def open_text(self, sealed: str, *, place: str) -> str:
        found, _, text = base64.b64decode(sealed).decode().partition("\0")
        assert found == place
        return text


class Market:
    """Room `demo` (id 1) sells product 1; its only SKU at first is 1."""

    def __init__(self, engine: AsyncEngine, clock: Clock, *, settings: TillSettings | None = None) -> None:
        self.engine = engine
        self.clock = clock
        log = get_log("test")
        self.outbox = Outbox(engine=engine, clock=clock, rooms=NoRooms(), log=log)
        self.jobs = Jobs(engine=engine, clock=clock, log=log)
        self.news = Teller(outbox=self.outbox, clock=clock, picture_path=lambda picture: f"/pictures/{picture}.jpg")
        self.placing = Placing(quoting=quotes, facts=self.outbox, news=self.news, later=self.jobs, expiry_ms=EXPIRY_MS)
        self.till = Till(
            engine=engine,
            clock=clock,
            placing=self.placing,
            facts=self.outbox,
            later=self.jobs,
            log=log,
            settings=settings,
        )
        self.orders = Orders(engine=engine, clock=clock, facts=self.outbox, news=self.news)

    async def buy(
        self,
        *,
        buyer: int = 1,
        count: int = 1,
        key: str = "",
        sku: int = 1,
        expected: int | None = None,
        room: str = "demo",
    ) -> Order:
        """Place an order as buyer 1, 2, 3 … with a key of its own unless one is given."""
        number = new_number(self.clock.utc_ms())
        return await self.till.place(
            Purchase(
                number=number,
                room=room,
                buyer_id=buyer,
                buyer_name=f"buyer{buyer}",
                buyer_display_name=f"Buyer {buyer}",
                sku_id=sku,
                count=count,
                expected_unit_price_minor=expected,
                shipping_sealed=None,
                key_hash=key or number,
                request_hash=f"{room} {sku} {count} {expected}",
            )
        )

    async def scalar(self, query: Any) -> Any:
        async with self.engine.connect() as connection:
            return await connection.scalar(query)

    async def rows(self, query: Any) -> list[dict[str, Any]]:
        async with self.engine.connect() as connection:
            return [dict(row._mapping) for row in await connection.execute(query)]

    async def write(self, statement: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(statement)

    async def stock(self, sku: int = 1) -> int:
        return int(await self.scalar(select(tables.skus.c.stock).where(tables.skus.c.id == sku)))

    async def count(self, table: Any) -> int:
        return int(await self.scalar(select(func.count()).select_from(table)))

    async def facts(self, event: str) -> list[dict[str, Any]]:
        return await self.rows(select(tables.outbox).where(tables.outbox.c.event == event).order_by(tables.outbox.c.id))


async def fill(engine: AsyncEngine, *, stock: int = 10, buyers: int = 5, **sku: Any) -> None:
    """Buyers 1 to `buyers`, the host, room demo, and a product of one SKU at 9.90 in its list."""
    async with engine.begin() as connection:
        person = {"role": "viewer", "level": 0, "generation": 0, "password_hash": "", "created_at_ms": 0}
        await connection.execute(
            insert(users),
            [person | {"name": f"buyer{n}", "display_name": f"Buyer {n}"} for n in range(1, buyers + 1)]
            + [person | {"name": "host", "display_name": "Hana"}],
        )
        room = {"slug": "demo", "title": "", "owner": "host", "created_at_ms": 0, "stream_key_hash": "k"}
        await connection.execute(insert(rooms).values(room | {"stream_key_rotated_at_ms": 0, "hints": {}}))
        product = {"owner": "host", "title": "Tea", "description": "", "image": None, "currency": "CNY"}
        state = {"status": "active", "version": 1, "created_at_ms": 0, "updated_at_ms": 0}
        await connection.execute(insert(tables.products).values(product | state))
        await add_sku(connection, stock=stock, **sku)
        listed = {"room_id": 1, "product_id": 1, "position": 1}
        await connection.execute(insert(tables.room_products).values(listed))


async def add_sku(connection: Any, *, stock: int, **more: Any) -> None:
    row = {"product_id": 1, "name": "", "price_minor": 990, "original_price_minor": None, "stock": stock}
    await connection.execute(
        insert(tables.skus).values(row | {"buyer_limit": None, "position": 1, "is_offered": 1} | more)
    )


async def add_sale(market: Market, *, quantity: int, buyer_limit: int | None = None, price_minor: int = 490) -> None:
    """A flash sale of SKU 1 that runs for ten minutes."""
    now_ms = market.clock.utc_ms()
    row = {"room_id": 1, "sku_id": 1, "open_sku_id": 1, "price_minor": price_minor, "quantity": quantity, "sold": 0}
    times = {"starts_at_ms": now_ms, "ends_at_ms": now_ms + 600_000, "created_at_ms": now_ms}
    more = {"buyer_limit": buyer_limit, "status": "running", "created_by": "host"}
    await market.write(insert(tables.flash_sales).values(row | times | more))


@asynccontextmanager
async def open_market(
    engine: AsyncEngine, *, clock: Clock | None = None, settings: TillSettings | None = None, **goods: Any
) -> AsyncIterator[Market]:
    """A market with its till running."""
    await fill(engine, **goods)
    async with running(Market(engine, clock or FakeClock(), settings=settings)) as market:
        yield market


@asynccontextmanager
async def running(market: Market) -> AsyncIterator[Market]:
    async with asyncio.TaskGroup() as group:
        till = group.create_task(market.till.run())
        try:
            yield market
        finally:
            till.cancel()
            with suppress(asyncio.CancelledError):
                await till
