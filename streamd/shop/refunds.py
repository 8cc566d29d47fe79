"""Money that goes back: asked for in the transaction that decides it, sent by a job, finished by the gateway's word.

Always the whole of one payment, under a reference made of the payment's: it cannot be asked for twice. The host asks
for a paid order; of itself goes back what was paid for an order that was given up, or paid a second time. Goods that
were never sent go back on the shelf with the money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.busy import when_free
from streamd.db.shop_tables import orders, payments, refunds
from streamd.errors import ConflictError
from streamd.shop.gateway import ASKED, DONE, FAILED, PAID, PaymentGateway, RefundWord
from streamd.shop.order_ports import Facts, GoodsNews, Later
from streamd.shop.orders import By, Order, find_order
from streamd.shop.states import GATEWAY, REFUNDED, REFUNDING, UNSHIPPED, check_step
from streamd.shop.steps import REASON_LIMIT, must_step, step
from streamd.shop.stock import give_back
from streamd.telemetry.log import Log

REFUND: Final = "refund.ask"
# How long after it was asked we look how it went, again and again; the last one is kept to.
_LOOKS_MS: Final = (5_000, 15_000, 60_000, 300_000, 1_800_000, 3_600_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidPayment:
    """What there is to give back."""

    id: int
    reference: str
    amount_minor: int


class Refunds:
    """See the module's promise. Every coroutine is cancel-safe: whole or not at all, and may be asked again."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        clock: Clock,
        gateways: Mapping[str, PaymentGateway],
        notify_origin: str,
        facts: Facts,
        news: GoodsNews,
        later: Later,
        log: Log,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._gateways = gateways
        self._notify_origin = notify_origin
        self._facts = facts
        self._news = news
        self._later = later
        self._log = log

    async def request(self, number: str, *, by: By, reason: str) -> None:
        """Give a buyer all their money back; asked again for one that the gateway failed to, it is tried again.

        Raises NotFoundError, ConflictError, ForbiddenError.
        """
        await when_free(lambda: self._request(number, by, reason))
        self._facts.wake()
        self._later.wake()

    async def _request(self, number: str, by: By, reason: str) -> None:
        now_ms = self._clock.utc_ms()
        async with self._engine.begin() as connection:
            order = await find_order(connection, number)
            if order.status == REFUNDING and await self._revive(connection, order, now_ms):
                return
            check_step(order.status, REFUNDING, by.parties)
            await must_step(
                connection, order.id, frm=order.status, to=REFUNDING, at_ms=now_ms, actor=by.name, reason=reason
            )
            await self.ask(connection, await _paid_of(connection, order), reason=reason, now_ms=now_ms)
            if order.status in UNSHIPPED:
                await give_back(connection, order)
                await self._news.tell_products(connection, [order.product_id])

    async def ask(self, connection: AsyncConnection, payment: PaidPayment, *, reason: str, now_ms: int) -> None:
        """Within the transaction that decides it; call `wake` of the jobs afterwards."""
        row = {
            "payment_id": payment.id,
            "reference": f"{payment.reference}-R",
            "amount_minor": payment.amount_minor,
            "status": ASKED,
            "reason": reason[:REASON_LIMIT],
            "asked_at_ms": now_ms,
        }
        await connection.execute(insert(refunds).values(row))
        await self._send_at(connection, str(row["reference"]), tries=0, due_at_ms=now_ms)

    async def _revive(self, connection: AsyncConnection, order: Order, now_ms: int) -> bool:
        query = (
            select(refunds.c.id, refunds.c.reference)
            .join(payments, payments.c.id == refunds.c.payment_id)
            .where(payments.c.order_id == order.id, refunds.c.status == FAILED)
        )
        failed = (await connection.execute(query)).first()
        if failed is None:
            return False
        await connection.execute(update(refunds).where(refunds.c.id == failed.id).values(status=ASKED))
        await self._send_at(connection, failed.reference, tries=0, due_at_ms=now_ms)
        return True

    async def _send_at(self, connection: AsyncConnection, reference: str, *, tries: int, due_at_ms: int) -> None:
        payload = {"tries": tries}
        await self._later.add(connection, kind=REFUND, subject=reference, payload=payload, due_at_ms=due_at_ms)

    async def send(self, subject: str, payload: Mapping[str, object]) -> None:
        """The job: ask the gateway, and until it is through, ask again. Raises UnavailableError, ConflictError."""
        reference = subject
        async with self._engine.connect() as connection:
            row = (await connection.execute(_select_refunds().where(refunds.c.reference == reference))).first()
        if row is None or row.status != ASKED:
            return
        gateway = self._gateways.get(row.gateway)
        if gateway is None:
            raise ConflictError(f"there is no gateway {row.gateway} any more", code="gateway_unknown")
        word = await gateway.refund(
            reference=reference,
            payment=row.payment_reference,
            amount_minor=row.amount_minor,
            notify_url=f"{self._notify_origin}/api/v1/payments/{gateway.name}/notify",
        )
        tries = payload.get("tries", 0)
        count = tries if isinstance(tries, int) else 0
        async with self._engine.begin() as connection:
            if await self.hear(connection, row.gateway, word) == "pending":
                wait_ms = _LOOKS_MS[min(count, len(_LOOKS_MS) - 1)]
                due_at_ms = self._clock.utc_ms() + wait_ms
                await self._send_at(connection, reference, tries=count + 1, due_at_ms=due_at_ms)

    async def hear(self, connection: AsyncConnection, gateway: str, word: RefundWord) -> str:
        """The gateway's verified word, within the caller's transaction: what came of it, in one word."""
        mine = _select_refunds().where(refunds.c.reference == word.reference, payments.c.gateway == gateway)
        row = (await connection.execute(mine)).first()
        if row is None:
            return "unknown"
        if word.amount_minor != row.amount_minor:
            self._log.error("refund.amount_differs", reference=word.reference, theirs=word.amount_minor)
            return "amount_differs"
        if word.state == ASKED:
            return "pending"
        if word.state == FAILED:
            await connection.execute(_settled(row, (ASKED,)).values(status=FAILED))
            self._log.error("refund.failed", reference=word.reference)
            return "refund_failed"
        # Of two refunds of one order that end at once, the second one sees the first.
        await connection.execute(
            update(orders).where(orders.c.id == row.order_id).values(changed_at_ms=orders.c.changed_at_ms)
        )
        done = _settled(row, (ASKED, FAILED)).values(status=DONE, done_at_ms=word.at_ms)
        if not (await connection.execute(done)).rowcount:
            return "repeated"
        others = _select_refunds().where(payments.c.order_id == row.order_id, refunds.c.status != DONE)
        if (await connection.execute(others)).first() is None:
            await step(connection, row.order_id, frm=REFUNDING, to=REFUNDED, at_ms=self._clock.utc_ms(), actor=GATEWAY)
        return "refunded"


def _select_refunds() -> Any:
    return select(
        refunds.c.id,
        refunds.c.reference,
        refunds.c.amount_minor,
        refunds.c.status,
        payments.c.gateway,
        payments.c.order_id,
        payments.c.reference.label("payment_reference"),
    ).join(payments, payments.c.id == refunds.c.payment_id)


def _settled(row: Row[Any], expected: tuple[str, ...]) -> Any:
    return update(refunds).where(refunds.c.id == row.id, refunds.c.status.in_(expected))


async def _paid_of(connection: AsyncConnection, order: Order) -> PaidPayment:
    """The payment that made the order paid: the first; a second one goes back by itself."""
    query = (
        select(payments.c.id, payments.c.reference, payments.c.amount_minor)
        .outerjoin(refunds, refunds.c.payment_id == payments.c.id)
        .where(payments.c.order_id == order.id, payments.c.status == PAID, refunds.c.id.is_(None))
        .order_by(payments.c.id)
    )
    row = (await connection.execute(query)).first()
    if row is None:
        raise ConflictError(
            "this order has no payment to give back",
            why="no gateway ever said that it was paid",
            fix="run `streamd reconcile` for its day",
            code="payment_missing",
        )
    return PaidPayment(**row._mapping)
