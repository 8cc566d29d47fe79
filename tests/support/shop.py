"""Goods over a test's database, with an outbox and jobs that remember what they were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.api.addresses import picture_path
from streamd.clock import Clock
from streamd.db.tables import room_members, rooms, users
from streamd.shop.catalogue import NewSku
from streamd.shop.goods import Product
from streamd.shop.opening import Goods, open_goods


@dataclass
class ToldRooms:
    """An outbox. What was added stays even if the transaction failed: those who care look at what did not."""

    facts: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    woken: int = 0

    async def add(self, connection: AsyncConnection, *, room: str, event: str, payload: Mapping[str, object]) -> None:
        self.facts.append((room, event, dict(payload)))

    async def add_all(
        self, connection: AsyncConnection, *, event: str, facts: Sequence[tuple[str, Mapping[str, object]]]
    ) -> None:
        self.facts += [(room, event, dict(payload)) for room, payload in facts]

    def wake(self) -> None:
        self.woken += 1

    def of(self, event: str, room: str = "demo") -> list[dict[str, Any]]:
        """Payloads of one event in one room."""
        return [payload for where, what, payload in self.facts if (where, what) == (room, event)]

    def clear(self) -> None:
        self.facts.clear()


@dataclass
class AskedJobs:
    """Jobs by kind and subject: when they are due."""

    due: dict[tuple[str, str], int] = field(default_factory=dict)
    woken: int = 0

    async def add(
        self, connection: AsyncConnection, *, kind: str, subject: str, payload: Mapping[str, object], due_at_ms: int
    ) -> None:
        self.due[kind, subject] = due_at_ms

    def wake(self) -> None:
        self.woken += 1


class Shop:
    """Goods, and what was told and asked."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock
        self.told = ToldRooms()
        self.jobs = AskedJobs()
        self.goods: Goods = open_goods(
            engine=engine, clock=clock, outbox=self.told, jobs=self.jobs, picture_path=picture_path
        )

    async def product(
        self, title: str = "Tea", *, owner: str = "host", price: int = 9_900, stock: int = 50, **sku: Any
    ) -> Product:
        """A product with one SKU."""
        variants = [NewSku(price_minor=price, stock=stock, **sku)]
        return (await self.goods.catalogue.create(owner=owner, title=title, variants=variants)).product

    async def listed(self, *titles: str, room: str = "demo", **options: Any) -> list[Product]:
        """Products that a room sells, in this order; nothing is told of it."""
        goods = [await self.product(title, **options) for title in titles or ("Tea",)]
        await self.goods.shelf.put(room, [each.id for each in goods], by="host")
        self.told.clear()
        return goods


async def add_room(engine: AsyncEngine, slug: str, *, owner: str) -> int:
    """A room without anything else."""
    row = {
        "slug": slug,
        "title": slug,
        "owner": owner,
        "created_at_ms": 0,
        "stream_key_hash": slug,
        "stream_key_rotated_at_ms": 0,
        "hints": {},
    }
    async with engine.begin() as connection:
        made = await connection.execute(insert(rooms).values(row))
    return int((made.inserted_primary_key or (0,))[0])


async def add_person(engine: AsyncEngine, name: str, *, room_id: int | None = None, role: str = "assistant") -> int:
    """An account that never signs in, and with `room_id` a member of that room."""
    row = {"name": name, "display_name": name, "role": "viewer", "level": 0, "generation": 0}
    async with engine.begin() as connection:
        made = await connection.execute(insert(users).values(row | {"password_hash": "", "created_at_ms": 0}))
        user_id = int((made.inserted_primary_key or (0,))[0])
        if room_id is not None:
            member = {"room_id": room_id, "user_id": user_id, "role": role, "added_at_ms": 0}
            await connection.execute(insert(room_members).values(member))
    return user_id
