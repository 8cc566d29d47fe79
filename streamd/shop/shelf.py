"""What a show sells, in its order, and the card: the one product that the host is explaining now.

Both have versions that grow with every change, and a command may name the one it was made from. Who names none means
"whatever it is now": of two who pin at once both are done, one after the other, and the room is told in that order, so
everybody ends with the same card. Pinning what is pinned already changes nothing and tells nobody.

The database is where the card lives; a room that opens on a node asks for it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.busy import in_transaction
from streamd.db.shop_tables import products, room_counters, room_products
from streamd.errors import ConflictError, InvalidError
from streamd.shop.catalogue import Ware
from streamd.shop.goods import ARCHIVED
from streamd.shop.pricing import offer_of
from streamd.shop.reading import ShowRoom, find_product, find_room, hold, read_products, read_sales, unknown_product
from streamd.shop.telling import Card, Teller, card_of

LIST_LIMIT_COUNT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A room's list, in order (what is put away is not shown), and its card."""

    version: int
    wares: tuple[Ware, ...]
    card: Card


class ShowShelf:
    """The lists and cards of all rooms. Every coroutine is cancel-safe: whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, teller: Teller) -> None:
        self._engine = engine
        self._clock = clock
        self._teller = teller

    async def listing(self, room: str) -> Listing:
        """What the room sells now. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            return await self._listing(connection, await find_room(connection, room))

    async def card(self, room: str) -> Card:
        """What the host explains now. Raises NotFoundError."""
        async with self._engine.connect() as connection:
            found = await find_room(connection, room)
            return await self._card(connection, found)

    async def put(self, room: str, product_ids: Sequence[int], *, by: str, version: int | None = None) -> Listing:
        """Make this the room's list, in this order; a card that is not in it any more is taken away.

        On it may stand goods of the room's owner, of who puts them there, and what stood there before. Raises
        InvalidError (twice the same, too many), NotFoundError, ConflictError (an older version; a product that is
        somebody else's or put away).
        """
        if len(set(product_ids)) != len(product_ids) or len(product_ids) > LIST_LIMIT_COUNT:
            why = f"a product stands in a list once, and a list has at most {LIST_LIMIT_COUNT}"
            raise InvalidError("this list cannot be used", why=why, code="list_products")

        async def work(connection: AsyncConnection) -> Listing:
            found = await self._ready(connection, room)
            await _refuse_strangers(connection, found, product_ids, by)
            counters = await _hold_counters(connection, found)
            if version is not None and version != counters.list_version:
                raise _stale("list", version, counters.list_version, "somebody else changed it")
            if list(product_ids) != await _listed_ids(connection, found.id):
                await self._replace(connection, found, counters, product_ids, by)
            return await self._listing(connection, found)

        listing = await in_transaction(self._engine, work)
        self._teller.wake()
        return listing

    async def _replace(
        self, connection: AsyncConnection, room: ShowRoom, counters: Row[Any], product_ids: Sequence[int], by: str
    ) -> None:
        await connection.execute(delete(room_products).where(room_products.c.room_id == room.id))
        for position, product_id in enumerate(product_ids, start=1):
            row = {"room_id": room.id, "product_id": product_id, "position": position}
            await connection.execute(insert(room_products).values(row))
        version = counters.list_version + 1
        mine = update(room_counters).where(room_counters.c.room_id == room.id)
        await connection.execute(mine.values(list_version=version))
        await self._teller.tell_shelf(connection, room.slug, version=version, count=len(product_ids))
        if counters.card_product_id is not None and counters.card_product_id not in product_ids:
            await self._turn(connection, room, counters, None, by)

    async def pin(self, room: str, product_id: int, *, by: str, version: int | None = None) -> Card:
        """Make a product the card; the card as it is then.

        Raises NotFoundError, ConflictError: it is not in the room's list, it is put away, or the card is newer than
        `version`.
        """

        async def work(connection: AsyncConnection) -> Card:
            found = await self._ready(connection, room)
            await hold(connection, product_id)
            counters = await _hold_counters(connection, found)
            await _refuse_card(connection, found, product_id)
            return await self._turn(connection, found, counters, product_id, by, version)

        card = await in_transaction(self._engine, work)
        self._teller.wake()
        return card

    async def unpin(self, room: str, *, by: str, version: int | None = None) -> Card:
        """No card; the card as it is then. Raises NotFoundError, ConflictError (newer than `version`)."""

        async def work(connection: AsyncConnection) -> Card:
            found = await self._ready(connection, room)
            return await self._turn(connection, found, await _hold_counters(connection, found), None, by, version)

        card = await in_transaction(self._engine, work)
        self._teller.wake()
        return card

    async def _turn(
        self,
        connection: AsyncConnection,
        room: ShowRoom,
        counters: Row[Any],
        product_id: int | None,
        by: str,
        version: int | None = None,
    ) -> Card:
        """Another card, told to the room; the same one again tells nobody."""
        if counters.card_product_id == product_id:
            return await self._card(connection, room)
        if version is not None and version != counters.card_version:
            what = f"{counters.card_by} pinned product {counters.card_product_id}"
            why = what if counters.card_product_id is not None else f"{counters.card_by} took it away"
            raise _stale("card", version, counters.card_version, why)
        values = {
            "card_version": counters.card_version + 1,
            "card_product_id": product_id,
            "card_at_ms": self._clock.utc_ms(),
            "card_by": by,
        }
        await connection.execute(update(room_counters).where(room_counters.c.room_id == room.id).values(values))
        card = await self._card(connection, room)
        await self._teller.tell_card(connection, room.slug, card)
        return card

    async def _card(self, connection: AsyncConnection, room: ShowRoom) -> Card:
        row = await _counters(connection, room.id)
        if row is None:
            return Card(version=0, at_ms=0, by="", product=None)
        if row.card_product_id is None:
            return card_of(row, None)
        product = await find_product(connection, row.card_product_id)
        return card_of(row, (await self._teller.pictures(connection, [product]))[0])

    async def _listing(self, connection: AsyncConnection, room: ShowRoom) -> Listing:
        goods = await read_products(connection, await _listed_ids(connection, room.id))
        sales = await read_sales(connection, goods)
        now_ms = self._clock.utc_ms()
        shown = [each for each in goods if each.status != ARCHIVED]
        wares = [Ware(product=each, offer=offer_of(each, sales, at_ms=now_ms), sales=sales) for each in shown]
        row = await _counters(connection, room.id)
        version = row.list_version if row is not None else 0
        return Listing(version=version, wares=tuple(wares), card=await self._card(connection, room))

    async def _ready(self, connection: AsyncConnection, slug: str) -> ShowRoom:
        """The room, with a row for its versions, made in a transaction of its own: two who make it at once would else
        have to begin again."""
        room = await find_room(connection, slug)
        if await _counters(connection, room.id) is None:
            row = {"room_id": room.id, "list_version": 0, "card_version": 0, "card_at_ms": 0, "card_by": ""}
            try:
                async with self._engine.begin() as own:
                    await own.execute(insert(room_counters).values(row))
            except IntegrityError:
                return room  # somebody else was quicker
        return room


async def _counters(connection: AsyncConnection, room_id: int) -> Row[Any] | None:
    return (await connection.execute(select(room_counters).where(room_counters.c.room_id == room_id))).first()


async def _hold_counters(connection: AsyncConnection, room: ShowRoom) -> Row[Any]:
    """The room's versions, which nobody else changes until this transaction ends. After `hold`."""
    mine = room_counters.c.room_id == room.id
    await connection.execute(update(room_counters).where(mine).values(card_version=room_counters.c.card_version))
    return (await connection.execute(select(room_counters).where(mine))).one()


async def _listed_ids(connection: AsyncConnection, room_id: int) -> list[int]:
    query = select(room_products.c.product_id).where(room_products.c.room_id == room_id)
    return list((await connection.scalars(query.order_by(room_products.c.position))).all())


async def _refuse_strangers(connection: AsyncConnection, room: ShowRoom, product_ids: Sequence[int], by: str) -> None:
    # Shared locks, as rows that refer to a product take them: orders go on, changes of these wait.
    query = select(products.c.id, products.c.owner, products.c.status).where(products.c.id.in_(product_ids))
    known = {row.id: row for row in await connection.execute(query.with_for_update(read=True))}
    listed = set(await _listed_ids(connection, room.id))
    for product_id in product_ids:
        product = known.get(product_id)
        if product is None:
            raise unknown_product(product_id)
        if product_id in listed:
            continue
        if product.status == ARCHIVED or product.owner not in (room.owner, by):
            is_away = product.status == ARCHIVED
            raise ConflictError(
                f"product {product_id} cannot be sold in this room",
                why="it was put away" if is_away else "it belongs to somebody who is not this room's owner",
                fix="take it up again" if is_away else "choose among the goods of the room's owner",
                code="product_unfit",
            )


async def _refuse_card(connection: AsyncConnection, room: ShowRoom, product_id: int) -> None:
    product = await find_product(connection, product_id)
    if product.status == ARCHIVED:
        raise ConflictError(
            f"product {product_id} was put away", fix="take it up again, or pin another", code="product_archived"
        )
    if product_id not in await _listed_ids(connection, room.id):
        raise ConflictError(
            f"product {product_id} is not in the list of room {room.slug!r}",
            why="only what the show sells can be its card",
            fix=f"add it to the list: PUT /api/v1/rooms/{room.slug}/products",
            code="product_unlisted",
        )


def _stale(what: str, version: int, newest: int, why: str) -> ConflictError:
    return ConflictError(
        f"the {what} is version {newest} by now, and not {version}",
        why=why,
        fix=f"look at it, and send version {newest} or none",
        code="version_stale",
    )
