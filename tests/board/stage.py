"""A room with goods, buyers and a programme, straight in the tables."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db import board_tables, shop_tables, tables

START_MS = 1_800_000_000_000
SHOW_MS = 600_000


async def put(engine: AsyncEngine, table: Table, *rows: Mapping[str, Any]) -> None:
    async with engine.begin() as connection:
        for row in rows:
            await connection.execute(insert(table).values(row))


async def rows_of(engine: AsyncEngine, table: Table) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.execute(select(table))).all())


async def sql(engine: AsyncEngine, words: str) -> list[tuple[Any, ...]]:
    """Rows of a statement as a person would type it."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(words))]


async def house(engine: AsyncEngine, *, rooms: tuple[str, ...] = ("demo", "other")) -> None:
    """Rooms 1, 2 …; users 1 to 8; products 1 to 3 with a SKU each, all in room 1."""
    for number, slug in enumerate(rooms, start=1):
        row = {"slug": slug, "title": f"The {slug} show", "owner": "", "hints": {}, "created_at_ms": 1}
        await put(engine, tables.rooms, row | {"stream_key_hash": str(number), "stream_key_rotated_at_ms": 1})
    for number in range(1, 9):
        row = {"name": f"user{number}", "display_name": "U", "role": "viewer", "level": 0, "password_hash": ""}
        await put(engine, tables.users, row | {"generation": 0, "created_at_ms": 1})
    for number in range(1, 4):
        goods = {
            "owner": "host",
            "title": f"商品 {number}",
            "description": "",
            "currency": ("CNY", "CNY", "JPY")[number - 1],
        }
        times = {"status": "active", "version": 1, "created_at_ms": 1, "updated_at_ms": 1}
        await put(engine, shop_tables.products, goods | times)
        sku = {"product_id": number, "name": "", "price_minor": 100, "stock": 9, "position": 1, "is_offered": 1}
        await put(engine, shop_tables.skus, sku)
        await put(engine, shop_tables.room_products, {"room_id": 1, "product_id": number, "position": number})


async def show(engine: AsyncEngine, *, ended: bool = True, **changes: object) -> None:
    """A programme of room 1, ten minutes long."""
    row: dict[str, object] = {
        "room_id": 1,
        "open_room_id": None if ended else 1,
        "title": "=The demo show",
        "node": "n1",
        "started_at_ms": START_MS,
        "seen_at_ms": START_MS + SHOW_MS,
        "ended_at_ms": START_MS + SHOW_MS if ended else None,
    }
    await put(engine, board_tables.shows, row | changes)


async def busy_show(engine: AsyncEngine, *, seed: int) -> None:
    """A programme in which much happened, and much before, behind and beside it that is not its business."""
    chance = random.Random(seed)
    await house(engine)
    await show(engine)

    def moment() -> int:
        return START_MS + chance.choice((0, SHOW_MS - 1, SHOW_MS, -1, chance.randrange(-60_000, SHOW_MS + 60_000)))

    orders, payments, refunds = [], [], []
    for number in range(1, 81):
        product, count, at_ms = chance.randrange(1, 4), chance.randrange(1, 5), moment()
        is_paid = chance.random() < 0.6
        orders.append(
            {
                "number": f"N{number}",
                "room_id": chance.choice((1, 1, 1, 2)),
                "buyer_id": chance.randrange(1, 9),
                "product_id": product,
                "sku_id": product,
                "count": count,
                "title": "T",
                "sku_name": "",
                "unit_price_minor": 199,
                "total_minor": 199 * count,
                "currency": "JPY" if product == 3 else "CNY",
                "status": "paid" if is_paid else chance.choice(("created", "cancelled")),
                "idempotency_hash": str(number),
                "request_hash": "",
                "placed_at_ms": at_ms,
                "expires_at_ms": at_ms + 1,
                "paid_at_ms": at_ms + chance.randrange(1_000_000) if is_paid else None,
                "changed_at_ms": at_ms,
            }
        )
        if is_paid:
            payment = {"order_id": number, "gateway": "sandbox", "reference": f"P{number}", "pay_url": ""}
            sums = {"amount_minor": 199 * count, "currency": "CNY", "status": "paid", "opened_at_ms": at_ms}
            payments.append(payment | sums)
            if chance.random() < 0.7:
                refund = {"payment_id": len(payments), "reference": f"R{number}", "amount_minor": 199 * count}
                state = {"status": chance.choice(("done", "asked")), "reason": "", "asked_at_ms": at_ms}
                refunds.append(refund | state)
    await put(engine, shop_tables.orders, *orders)
    await put(engine, shop_tables.payments, *payments)
    await put(engine, shop_tables.refunds, *refunds)
    for number in range(60):
        said = {"room": chance.choice(("demo", "other")), "seq": number, "message_id": f"m{number}", "user_id": "u"}
        how = {"user_name": "U", "role": "viewer", "text": "hello", "color": "", "mode": "scroll", "at_ms": moment()}
        await put(engine, tables.danmaku, said | how | {"status": chance.choice(("shown", "shown", "retracted"))})
    await put(engine, board_tables.show_nodes, {"show_id": 1, "node": "n1", "seen_at_ms": START_MS + 500_000})
    for number in range(50):
        joined_ms = START_MS + chance.randrange(SHOW_MS)
        left_ms = chance.choice((None, joined_ms + chance.randrange(2 * SHOW_MS)))
        visit = {"node": chance.choice(("n1", "gone")), "number": number, "show_id": 1, "left_at_ms": left_ms}
        who = {"viewer": f"v{chance.randrange(12)}", "joined_at_ms": joined_ms}
        await put(engine, board_tables.visits, visit | who)
    for minute in range(10):
        key = {"show_id": 1, "minute_ms": START_MS - START_MS % 60_000 + minute * 60_000}
        counted = {"online_peak": chance.randrange(100), "likes": chance.randrange(1_000)}
        await put(engine, board_tables.show_minutes, key | counted)
        for product in (1, 2):
            shown = {"product_id": product, "exposures": chance.randrange(50), "clicks": chance.randrange(9)}
            await put(engine, board_tables.card_minutes, key | shown)
