"""Flash sales: announced or begun at once, run for some minutes, cancelled or ended early.

A sale's price must undercut its SKU's; one SKU has one sale at a time. Beginning and end are jobs that tell the rooms
and write down what is so already: the price itself depends on the time alone (see `pricing`), so that a sale is over
when it is over even if nobody does the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.busy import in_transaction
from streamd.db.shop_tables import flash_sales, room_products, skus
from streamd.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from streamd.shop.goods import ACTIVE, ANNOUNCED, CANCELLED, ENDED, RUNNING, Product, Sale
from streamd.shop.money import check_price
from streamd.shop.pricing import is_announced, is_over
from streamd.shop.quotes import begin_sale
from streamd.shop.reading import ShowRoom, find_product, find_room, hold, read_sales, sale_of, unknown_sku
from streamd.shop.telling import Teller

START: Final = "sale.start"
END: Final = "sale.end"
COUNTDOWN_S: Final = (10, 300)
DURATION_S: Final = (60, 1_200)


class Jobs(Protocol):
    """Work for later."""

    async def add(
        self, connection: AsyncConnection, *, kind: str, subject: str, payload: Mapping[str, object], due_at_ms: int
    ) -> None:
        """Within the caller's transaction."""
        ...

    def wake(self) -> None:
        """Something was committed. Never blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SalePlan:
    """A sale to be. No countdown: it begins at once. `quantity` and `buyer_limit` are pieces at its price."""

    sku_id: int
    price_minor: int
    duration_s: int
    quantity: int
    countdown_s: int | None = None
    buyer_limit: int | None = None


class Sales:
    """The flash sales of all rooms. Every coroutine is cancel-safe: whole or not at all."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, teller: Teller, jobs: Jobs) -> None:
        self._engine = engine
        self._clock = clock
        self._teller = teller
        self._jobs = jobs

    async def announce(self, room: str, plan: SalePlan, *, by: str) -> Sale:
        """Announce or begin a sale. Raises InvalidError, NotFoundError (room, SKU), ConflictError: the room does not
        sell it, its price does not undercut, there is less than is promised, another sale of it stands."""
        _check(plan)

        async def work(connection: AsyncConnection) -> Sale:
            found = await find_room(connection, room)
            product_id = await connection.scalar(select(skus.c.product_id).where(skus.c.id == plan.sku_id))
            if product_id is None:
                raise unknown_sku(plan.sku_id)
            await hold(connection, product_id)
            product = await find_product(connection, product_id)
            await self._refuse(connection, found, product, plan)
            sale = await self._begin(connection, found, plan, by)
            await self._teller.tell_products(connection, [product_id])
            return sale

        sale = await in_transaction(self._engine, work)
        self._wake()
        return sale

    async def _refuse(self, connection: AsyncConnection, room: ShowRoom, product: Product, plan: SalePlan) -> None:
        sku = next(each for each in product.skus if each.id == plan.sku_id)
        here = (room_products.c.room_id == room.id) & (room_products.c.product_id == product.id)
        is_listed = (await connection.execute(select(room_products.c.position).where(here))).first() is not None
        if not is_listed or product.status != ACTIVE or not sku.is_offered:
            raise _unfit("this room does not sell it now", "add the product to the room's list, and offer it")
        if plan.price_minor >= sku.price_minor:
            raise _unfit(f"it costs {sku.price_minor} anyway", "a flash sale undercuts the SKU's price")
        if plan.quantity > sku.stock:
            raise _unfit(f"there are {sku.stock} of it", "promise what is there, or raise the stock first")
        standing = (await read_sales(connection, [product])).get(sku.id)
        if standing is None:
            return
        if not is_over(standing, at_ms=self._clock.utc_ms()):
            raise _unfit(f"sale {standing.id} of it stands", "end or cancel that one first", code="sale_stands")
        await _close(connection, standing.id, ENDED)  # its job has not come yet

    async def _begin(self, connection: AsyncConnection, room: ShowRoom, plan: SalePlan, by: str) -> Sale:
        now_ms = self._clock.utc_ms()
        starts_at_ms = now_ms + (plan.countdown_s or 0) * 1_000
        row: dict[str, Any] = {
            "room_id": room.id,
            "sku_id": plan.sku_id,
            "price_minor": plan.price_minor,
            "starts_at_ms": starts_at_ms,
            "ends_at_ms": starts_at_ms + plan.duration_s * 1_000,
            "quantity": plan.quantity,
            "sold": 0,
            "buyer_limit": plan.buyer_limit,
            "status": ANNOUNCED if plan.countdown_s else RUNNING,
            "created_by": by,
            "created_at_ms": now_ms,
        }
        made = await connection.execute(insert(flash_sales).values(row | {"open_sku_id": plan.sku_id}))
        sale = Sale(id=int((made.inserted_primary_key or (0,))[0]), **row)
        subject = str(sale.id)
        if plan.countdown_s:
            await self._jobs.add(connection, kind=START, subject=subject, payload={}, due_at_ms=starts_at_ms)
        await self._jobs.add(connection, kind=END, subject=subject, payload={}, due_at_ms=sale.ends_at_ms)
        return sale

    async def cancel(self, room: str, sale_id: int) -> Sale:
        """Take an announced sale back; one that was cancelled already stays so. Raises NotFoundError, ConflictError
        (it has begun)."""
        return await self._stop(room, sale_id, CANCELLED)

    async def end(self, room: str, sale_id: int) -> Sale:
        """End a running sale now; one that is over stays so. Raises NotFoundError, ConflictError (it has not begun)."""
        return await self._stop(room, sale_id, ENDED)

    async def _stop(self, room: str, sale_id: int, status: str) -> Sale:
        async def work(connection: AsyncConnection) -> Sale:
            found = await find_room(connection, room)
            product_id = await self._product_of(connection, sale_id, found.id)
            await hold(connection, product_id)
            sale = await _find(connection, sale_id)
            if sale.status == status or (status == ENDED and is_over(sale, at_ms=self._clock.utc_ms())):
                return sale
            if is_announced(sale, at_ms=self._clock.utc_ms()) != (status == CANCELLED):
                has_begun = status == CANCELLED
                raise ConflictError(
                    f"sale {sale_id} has begun" if has_begun else f"sale {sale_id} has not begun",
                    fix="end it instead" if has_begun else "cancel it instead",
                    code="sale_status",
                )
            ends_at_ms = self._clock.utc_ms() if status == ENDED else None
            await _close(connection, sale_id, status, ends_at_ms=ends_at_ms)
            await self._teller.tell_products(connection, [product_id])
            return await _find(connection, sale_id)

        sale = await in_transaction(self._engine, work)
        self._wake()
        return sale

    async def page(self, room: str, *, before: int = 0, limit: int) -> list[Sale]:
        """A room's sales, newest first, from behind the id `before` (0: the newest). Raises NotFoundError."""
        async with self._engine.connect() as connection:
            found = await find_room(connection, room)
            mine = flash_sales.c.room_id == found.id
            query = select(flash_sales).where(mine).order_by(flash_sales.c.id.desc()).limit(limit)
            if before:
                query = query.where(flash_sales.c.id < before)
            return [sale_of(row) for row in await connection.execute(query)]

    # --- jobs ---

    async def start_due(self, subject: str, payload: Mapping[str, object]) -> None:  # noqa: ARG002 - a job's shape
        """Job `sale.start`: rooms hear the new price. May be done twice."""
        await self._come(int(subject), status=RUNNING)

    async def end_due(self, subject: str, payload: Mapping[str, object]) -> None:  # noqa: ARG002 - a job's shape
        """Job `sale.end`: rooms hear the old price again. May be done twice, and after the sale was stopped."""
        await self._come(int(subject), status=ENDED)

    async def _come(self, sale_id: int, *, status: str) -> None:
        async def work(connection: AsyncConnection) -> None:
            product_id = await self._product_of(connection, sale_id)
            await hold(connection, product_id)
            sale = await _find(connection, sale_id)
            if sale.status not in (ANNOUNCED, RUNNING):
                return  # it was stopped, and rooms know
            due_at_ms = sale.ends_at_ms if status == ENDED else sale.starts_at_ms
            if self._clock.utc_ms() < due_at_ms:
                # Whoever wrote the job has a clock ahead of ours, by which rooms would be told the old price.
                raise UnavailableError(f"it is too early for sale {sale_id}", fix="try again", code="sale_early")
            if status == ENDED:
                await _close(connection, sale_id, ENDED)
            else:
                await begin_sale(connection, sale_id)
            await self._teller.tell_products(connection, [product_id])

        await in_transaction(self._engine, work)
        self._wake()

    def _wake(self) -> None:
        self._teller.wake()
        self._jobs.wake()

    async def _product_of(self, connection: AsyncConnection, sale_id: int, room_id: int | None = None) -> int:
        query = select(skus.c.product_id).join(flash_sales, flash_sales.c.sku_id == skus.c.id)
        query = query.where(flash_sales.c.id == sale_id)
        if room_id is not None:
            query = query.where(flash_sales.c.room_id == room_id)
        product_id: int | None = await connection.scalar(query)
        if product_id is None:
            raise unknown_sale(sale_id)
        return product_id


async def _find(connection: AsyncConnection, sale_id: int) -> Sale:
    return sale_of((await connection.execute(select(flash_sales).where(flash_sales.c.id == sale_id))).one())


async def _close(connection: AsyncConnection, sale_id: int, status: str, *, ends_at_ms: int | None = None) -> None:
    is_open = (flash_sales.c.id == sale_id) & flash_sales.c.status.in_((ANNOUNCED, RUNNING))
    values = {"status": status, "open_sku_id": None} | ({} if ends_at_ms is None else {"ends_at_ms": ends_at_ms})
    await connection.execute(update(flash_sales).where(is_open).values(values))


def _check(plan: SalePlan) -> None:
    check_price(plan.price_minor)
    least_s, most_s = COUNTDOWN_S
    if plan.countdown_s is not None and not least_s <= plan.countdown_s <= most_s:
        raise InvalidError(f"a countdown is {least_s} to {most_s} seconds, or none", code="sale_countdown")
    least_s, most_s = DURATION_S
    if not least_s <= plan.duration_s <= most_s:
        raise InvalidError(f"a flash sale runs {least_s} to {most_s} seconds", code="sale_duration")
    if plan.quantity < 1 or (plan.buyer_limit is not None and plan.buyer_limit < 1):
        raise InvalidError("a flash sale is of one piece at least, and one for each buyer", code="sale_quantity")


def _unfit(why: str, fix: str, *, code: str = "sale_unfit") -> ConflictError:
    return ConflictError("this SKU cannot be put on sale so", why=why, fix=fix, code=code)


def unknown_sale(sale_id: int | str) -> NotFoundError:
    """There is none of this id."""
    what = f"there is no sale {str(sale_id)[:32]} in this room"
    return NotFoundError(what, fix="list the room's sales", code="sale_unknown")
