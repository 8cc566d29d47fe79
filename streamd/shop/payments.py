"""Payments: opened at a gateway, settled by its word, whichever way and however often that comes.

A gateway's word is a signed notice, or its answer when we ask (a job does, with growing pauses, so that a payment is
settled even if no notice ever comes). Both go through `hear`, in which every change is guarded: the same word again
changes nothing, an earlier one that comes late changes nothing, and of two at once one counts. Where it leads:

- paid, the order waits for it: the order is paid
- paid, but the order was given up: the money goes back by itself, however late it came
- paid, but the order was paid by another payment: the same for this one
- paid, but not the amount or the currency that was asked: nothing is believed; it is logged, counted and reported
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, Metric
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.busy import when_free
from streamd.db.shop_tables import orders, payment_notices, payments
from streamd.errors import ConflictError, NotFoundError, StreamdError, UnauthenticatedError
from streamd.shop.gateway import CLOSED, OPEN, PAID, Charge, Notice, PaymentGateway, PaymentWord
from streamd.shop.order_ports import Later
from streamd.shop.orders import Order, find_order, unknown_order
from streamd.shop.placing import new_number
from streamd.shop.refunds import PaidPayment, Refunds
from streamd.shop.states import BUYER, CANCELLED, CREATED, GATEWAY, PAYING, REFUNDING, check_step
from streamd.shop.states import PAID as ORDER_PAID
from streamd.shop.steps import must_step, step
from streamd.telemetry.log import Log

QUERY: Final = "payment.query"
_SECOND: Final = 1_000
# Between looks; after the last one nobody pays any more, and if they do, the notice or the bill says so.
LOOKS_MS: Final = tuple(
    seconds * _SECOND for seconds in (15, 30, 60, 120, 300, 600, 1_800, 3_600, 10_800, 21_600, 43_200)
)
_LAST_LOOK_S: Final = 3.0
_BODY_LIMIT: Final = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSettings:
    """`notify_origin` is where gateways reach us, `return_origin` where buyers do."""

    notify_origin: str
    return_origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One try to pay an order."""

    id: int
    order_id: int
    gateway: str
    reference: str
    amount_minor: int
    currency: str
    status: str
    pay_url: str
    opened_at_ms: int
    paid_at_ms: int | None


class Payments:
    """See the module's promise. Cancel-safe unless said otherwise: whole or not at all, and may be asked again."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        clock: Clock,
        gateways: Mapping[str, PaymentGateway],
        refunds: Refunds,
        later: Later,
        settings: PaymentSettings,
        log: Log,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._gateways = gateways
        self._refunds = refunds
        self._later = later
        self._settings = settings
        self._log = log
        self._outcomes: Counter[str] = Counter()

    # --- opened ---

    async def open(self, number: str, *, buyer_id: int, gateway: str = "") -> Payment:
        """Where to pay an order; the same place as before while that is open.

        Raises NotFoundError, ConflictError, UnavailableError (no gateway, or it does not answer).
        """
        chosen = self._choose(gateway)

        async def prepare() -> tuple[Order, Payment]:
            async with self._engine.begin() as connection:
                order = await find_order(connection, number)
                if order.buyer_id != buyer_id:
                    raise unknown_order()
                return order, await self._prepare(connection, order, chosen)

        order, payment = await when_free(prepare)
        if payment.pay_url:
            return payment
        self._later.wake()
        opened = await chosen.open(self._charge(order, payment))
        mine = update(payments).where(payments.c.id == payment.id)
        async with self._engine.begin() as connection:
            await connection.execute(mine.values(pay_url=opened.pay_url, gateway_reference=opened.gateway_reference))
            return await _payment(connection, payment.id)

    def _choose(self, name: str) -> PaymentGateway:
        if not self._gateways:
            raise ConflictError(
                "nothing can be paid here",
                why="this server has no payment gateway",
                fix="set STREAMD_PAYMENT_URL and STREAMD_PAYMENT_KEY, or try `streamd serve --demo`",
                code="payment_off",
            )
        if name and name not in self._gateways:
            known = ", ".join(self._gateways)
            raise NotFoundError(f"there is no gateway {name[:16]!r}", fix=f"choose {known}", code="gateway_unknown")
        return self._gateways[name or next(iter(self._gateways))]

    async def _prepare(self, connection: AsyncConnection, order: Order, gateway: PaymentGateway) -> Payment:
        """A payment that is open, ours at least."""
        now_ms = self._clock.utc_ms()
        if order.status != PAYING:
            check_step(order.status, PAYING, frozenset({BUYER}))
        if now_ms >= order.expires_at_ms:
            raise ConflictError(
                "the time to pay this order is over", fix="order again: the goods may still be there", code="order_late"
            )
        if order.status == CREATED:
            actor = order.buyer_name
            await must_step(connection, order.id, frm=CREATED, to=PAYING, at_ms=now_ms, actor=actor)
        mine = (payments.c.order_id == order.id) & (payments.c.gateway == gateway.name) & (payments.c.status == OPEN)
        found = (await connection.execute(select(payments.c.id).where(mine).order_by(payments.c.id.desc()))).first()
        if found is not None:
            return await _payment(connection, found.id)
        reference = f"P{new_number(now_ms)}"
        row = {
            "order_id": order.id,
            "gateway": gateway.name,
            "reference": reference,
            "amount_minor": order.total_minor,
            "currency": order.currency,
            "status": OPEN,
            "pay_url": "",
            "opened_at_ms": now_ms,
        }
        await connection.execute(insert(payments).values(row))
        await self._look_at(connection, reference, tries=0, due_at_ms=now_ms + LOOKS_MS[0])
        made = await connection.scalar(select(payments.c.id).where(payments.c.reference == reference))
        return await _payment(connection, int(made or 0))

    def _charge(self, order: Order, payment: Payment) -> Charge:
        return Charge(
            reference=payment.reference,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            title=f"{order.title} {order.sku_name} × {order.count}".replace("  ", " "),
            expires_at_ms=order.expires_at_ms,
            notify_url=f"{self._settings.notify_origin}/api/v1/payments/{payment.gateway}/notify",
            return_url=f"{self._settings.return_origin}/watch/{order.room}?order={order.number}",
        )

    async def _look_at(self, connection: AsyncConnection, reference: str, *, tries: int, due_at_ms: int) -> None:
        payload = {"tries": tries}
        await self._later.add(connection, kind=QUERY, subject=reference, payload=payload, due_at_ms=due_at_ms)

    async def of_order(self, order: Order) -> list[Payment]:
        """All tries to pay it, oldest first."""
        query = select(*_columns()).where(payments.c.order_id == order.id).order_by(payments.c.id)
        async with self._engine.connect() as connection:
            return [Payment(**row._mapping) for row in await connection.execute(query)]

    # --- what gateways say ---

    async def notified(self, name: str, *, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """A message came in: what came of it, in one word.

        Raises NotFoundError (no such gateway or payment), UnauthenticatedError (forged), InvalidError, ConflictError
        (another amount): the gateway may tell it again, with the same end.
        """
        gateway = self._gateways.get(name)
        if gateway is None:
            raise NotFoundError("there is no such gateway here", code="gateway_unknown")
        try:
            notice = gateway.read_notice(path=path, headers=headers, body=body, now_ms=self._clock.utc_ms())
        except UnauthenticatedError as error:
            self._outcomes["forged"] += 1
            self._log.warning("payment.notice_forged", gateway=name, why=error.why)
            raise
        outcome = await when_free(lambda: self._note(name, notice, body))
        self._outcomes[outcome] += 1
        self._log.info("payment.notice", gateway=name, reference=notice.word.reference, outcome=outcome)
        if outcome == "unknown":
            raise NotFoundError("we never asked for this", code="payment_unknown")
        if outcome == "amount_differs":
            raise ConflictError("this is not the amount that was asked", code="amount_differs")
        return outcome

    async def _note(self, name: str, notice: Notice, body: bytes) -> str:
        """Do what it says and write down that it came, in one transaction."""
        told = (payment_notices.c.gateway == name) & (payment_notices.c.notice_id == notice.id)
        try:
            async with self._engine.begin() as connection:
                seen = (await connection.execute(select(payment_notices.c.outcome).where(told))).first()
                if seen is not None:
                    return seen.outcome if seen.outcome in ("unknown", "amount_differs") else "repeated"
                outcome = await self._hear(connection, name, notice)
                row = {
                    "gateway": name,
                    "notice_id": notice.id,
                    "reference": notice.word.reference,
                    "kind": "payment" if isinstance(notice.word, PaymentWord) else "refund",
                    "outcome": outcome,
                    "body": body.decode("utf-8", "replace")[:_BODY_LIMIT],
                    "received_at_ms": self._clock.utc_ms(),
                }
                await connection.execute(insert(payment_notices).values(row))
        except IntegrityError:
            return "repeated"  # it came twice at once: the other one did what it says
        self._later.wake()
        return outcome

    async def _hear(self, connection: AsyncConnection, name: str, notice: Notice) -> str:
        if isinstance(notice.word, PaymentWord):
            return await self.hear(connection, name, notice.word)
        return await self._refunds.hear(connection, name, notice.word)

    async def hear(self, connection: AsyncConnection, gateway: str, word: PaymentWord) -> str:
        """The gateway's verified word, within the caller's transaction: what came of it, in one word."""
        mine = (payments.c.reference == word.reference) & (payments.c.gateway == gateway)
        row = (await connection.execute(select(*_columns()).where(mine))).first()
        if row is None:
            return "unknown"
        change = update(payments).where(payments.c.id == row.id)
        if word.state == OPEN:
            return "pending"
        if word.state == CLOSED:
            closed = change.where(payments.c.status == OPEN).values(status=CLOSED)
            return "closed" if (await connection.execute(closed)).rowcount else "repeated"
        if (word.amount_minor, word.currency) != (row.amount_minor, row.currency):
            self._log.error(
                "payment.amount_differs",
                reference=word.reference,
                asked=f"{row.amount_minor} {row.currency}",
                paid=f"{word.amount_minor} {word.currency}",
            )
            return "amount_differs"
        paid = {"status": PAID, "paid_at_ms": word.at_ms, "gateway_reference": word.gateway_reference}
        if not (await connection.execute(change.where(payments.c.status != PAID).values(paid))).rowcount:
            return "repeated"
        return await self._paid(connection, row, word)

    async def _paid(self, connection: AsyncConnection, row: Row[Any], word: PaymentWord) -> str:
        """The money has come. For what?"""
        now_ms = self._clock.utc_ms()
        values = {"paid_at_ms": word.at_ms}
        if await step(connection, row.order_id, frm=PAYING, to=ORDER_PAID, at_ms=now_ms, actor=GATEWAY, values=values):
            return "paid"
        is_late = await step(
            connection,
            row.order_id,
            frm=CANCELLED,
            to=REFUNDING,
            at_ms=now_ms,
            actor=GATEWAY,
            reason="paid after it was cancelled",
        )
        payment = PaidPayment(id=row.id, reference=row.reference, amount_minor=row.amount_minor)
        reason = "paid after the order was cancelled" if is_late else "paid twice"
        await self._refunds.ask(connection, payment, reason=reason, now_ms=now_ms)
        self._log.warning("payment.goes_back", reference=row.reference, reason=reason)
        return "refunding"

    # --- asking ourselves ---

    async def look(self, subject: str, payload: Mapping[str, object]) -> None:
        """The job: ask how a payment stands, less and less often. Raises UnavailableError."""
        tries = payload.get("tries", 0)
        count = tries if isinstance(tries, int) else 0
        if await self._ask(subject) != "pending":
            return
        async with self._engine.begin() as connection:
            if count + 1 < len(LOOKS_MS):
                due_at_ms = self._clock.utc_ms() + LOOKS_MS[count + 1]
                await self._look_at(connection, subject, tries=count + 1, due_at_ms=due_at_ms)
            else:
                mine = update(payments).where(payments.c.reference == subject, payments.c.status == OPEN)
                await connection.execute(mine.values(status=CLOSED))

    async def look_before_expiry(self, number: str) -> None:
        """An order is about to be given up: was it paid, and nobody told us? Never raises StreamdError: an order does
        not wait for a gateway that is away, and money that comes later goes back.
        """
        query = (
            select(payments.c.reference)
            .join(orders, orders.c.id == payments.c.order_id)
            .where(orders.c.number == number, orders.c.status == PAYING, payments.c.status == OPEN)
        )
        async with self._engine.connect() as connection:
            references = (await connection.scalars(query)).all()
        for reference in references:
            try:
                async with asyncio.timeout(_LAST_LOOK_S):
                    await self._ask(reference)
            except (StreamdError, TimeoutError) as error:
                self._log.warning("payment.last_look_failed", reference=reference, why=str(error))

    async def _ask(self, reference: str) -> str:
        """What came of asking, in one word; `pending` where it is neither paid nor closed."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(*_columns()).where(payments.c.reference == reference))).first()
        gateway = self._gateways.get(row.gateway) if row is not None else None
        if row is None or gateway is None or row.status != OPEN:
            return "repeated"
        word = await gateway.query(reference)
        if word is None or word.state == OPEN:
            return "pending"
        async with self._engine.begin() as connection:
            outcome = await self.hear(connection, gateway.name, word)
        self._outcomes[f"asked_{outcome}"] += 1
        self._later.wake()
        self._log.info("payment.asked", reference=reference, outcome=outcome)
        return outcome

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        family = CounterMetricFamily(
            "streamd_payment_words", "What gateways said, by what came of it", labels=["outcome"]
        )
        for outcome, count in sorted(self._outcomes.items()):
            family.add_metric([outcome], count)
        yield family


def _columns() -> list[Any]:
    return [payments.c[name] for name in Payment.__slots__]


async def _payment(connection: AsyncConnection, payment_id: int) -> Payment:
    row = (await connection.execute(select(*_columns()).where(payments.c.id == payment_id))).one()
    return Payment(**row._mapping)
