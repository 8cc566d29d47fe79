"""A day's money, ours against the gateway's: every difference named, with what mends it.

In: a UTC day. The gateway's bill is looked up line by line among all our payments and refunds, whenever they were
opened; ours of that day are looked up in the bill. Nothing is changed here: a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import Row, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.db.shop_tables import orders, payments, refunds
from streamd.errors import InvalidError, NotFoundError
from streamd.shop.gateway import DONE, PAID, BillLine, PaymentGateway

DifferenceKind = Literal[
    "unknown_here",
    "not_paid_here",
    "not_refunded_here",
    "missing_there",
    "amount_differs",
    "twice_there",
    "day_differs",
]
_FIXES: Final[Mapping[str, str]] = {
    "unknown_here": "the gateway was paid under a reference that we never made: find out who uses the same account",
    "not_paid_here": "its notice was refused or never came: the next look at the gateway settles it, or give it back",
    "not_refunded_here": "the gateway gave back what we did not finish: look at the order",
    "missing_there": "we believe in money that the gateway does not have: hold the order",
    "amount_differs": "another amount moved than was asked: settle the difference with the buyer",
    "twice_there": "one reference was charged more than once: the gateway owes the buyer the others",
    "day_differs": "the two sides put it on different days: compare the other day's report too",
}
_CHUNK_COUNT: Final = 500
_DAY_MS: Final = 86_400_000
# How long after it was opened a payment of ours is still looked for among the day's, by the index on that time: no
# gateway takes so long. What it says of older ones is looked up by their references all the same.
_PAID_WITHIN_MS: Final = 31 * _DAY_MS
_RETURNED_WITHIN_MS: Final = 400 * _DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that does not agree. Amounts are null where a side has none."""

    kind: DifferenceKind
    subject: Literal["payment", "refund"]
    reference: str
    order: str  # its number; empty where we know none
    ours_minor: int | None
    theirs_minor: int | None
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """A day's report. Sums are by kind, in minor units, over all currencies' own lines."""

    gateway: str
    day: str
    ours_count: int
    theirs_count: int
    ours_minor: int  # paid less refunded
    theirs_minor: int
    differences: list[Difference]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A payment or a refund of ours."""

    subject: Literal["payment", "refund"]
    reference: str
    order: str
    amount_minor: int
    currency: str
    is_settled: bool
    at_ms: int | None


class Reconciler:
    """See the module's promise."""

    def __init__(self, *, engine: AsyncEngine, gateways: Mapping[str, PaymentGateway]) -> None:
        self._engine = engine
        self._gateways = gateways

    async def report(self, gateway: str, day: str) -> Reconciliation:
        """Raises InvalidError (the day), NotFoundError (the gateway), UnavailableError. Cancel-safe: yes."""
        start_ms, end_ms = day_bounds(day)
        chosen = self._gateways.get(gateway)
        if chosen is None:
            raise NotFoundError(f"there is no gateway {gateway[:16]!r} here", code="gateway_unknown")
        bill = await chosen.bill(day)
        async with self._engine.connect() as connection:
            ours = await _settled_between(connection, gateway, start_ms, end_ms)
            known = await _of_references(connection, gateway, bill)
        return Reconciliation(
            gateway=gateway,
            day=day,
            ours_count=len(ours),
            theirs_count=len(bill),
            ours_minor=sum(one.amount_minor if one.subject == "payment" else -one.amount_minor for one in ours),
            theirs_minor=sum(one.amount_minor if one.kind == "payment" else -one.amount_minor for one in bill),
            differences=_compare(ours, known, bill, start_ms, end_ms),
        )


def day_bounds(day: str) -> tuple[int, int]:
    """First and after-last millisecond of a UTC day. Raises InvalidError."""
    try:
        start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
        if start.date().isoformat() != day:  # "2026-1-2" is a day for strptime, and for nobody's description of one
            raise ValueError(day)
    except ValueError as error:
        raise InvalidError(f"{day[:20]!r} is not a day", fix="write it as 2026-11-21", code="day") from error
    start_ms = int(start.timestamp() * 1_000)
    return start_ms, start_ms + _DAY_MS


def _compare(
    ours: Sequence[_Entry],
    known: Mapping[tuple[str, str], _Entry],
    bill: Sequence[BillLine],
    start_ms: int,
    end_ms: int,
) -> list[Difference]:
    found: list[Difference] = []
    met: set[tuple[str, str]] = set()
    for line in bill:
        key = (line.kind, line.reference)
        entry = known.get(key)
        kind = "twice_there" if key in met else _wrong(entry, line, start_ms, end_ms)
        met.add(key)
        if kind is not None:
            found.append(_difference(kind, entry, line))
    found += [_difference("missing_there", one, None) for one in ours if (one.subject, one.reference) not in met]
    return found


def _wrong(entry: _Entry | None, line: BillLine, start_ms: int, end_ms: int) -> DifferenceKind | None:
    if entry is None:
        return "unknown_here"
    if (entry.amount_minor, entry.currency) != (line.amount_minor, line.currency):
        return "amount_differs"
    if not entry.is_settled:
        return "not_paid_here" if line.kind == "payment" else "not_refunded_here"
    if entry.at_ms is not None and not start_ms <= entry.at_ms < end_ms:
        return "day_differs"
    return None


def _difference(kind: DifferenceKind, entry: _Entry | None, line: BillLine | None) -> Difference:
    one: Any = line or entry
    return Difference(
        kind=kind,
        subject=line.kind if line is not None else one.subject,
        reference=one.reference,
        order=entry.order if entry is not None else "",
        ours_minor=entry.amount_minor if entry is not None else None,
        theirs_minor=line.amount_minor if line is not None else None,
        fix=_FIXES[kind],
    )


def _payments() -> Any:
    return select(
        literal("payment").label("subject"),
        payments.c.reference,
        orders.c.number,
        payments.c.amount_minor,
        payments.c.currency,
        payments.c.status,
        payments.c.paid_at_ms.label("at_ms"),
    ).join(orders, orders.c.id == payments.c.order_id)


def _refunds() -> Any:
    return (
        select(
            literal("refund").label("subject"),
            refunds.c.reference,
            orders.c.number,
            refunds.c.amount_minor,
            payments.c.currency,
            refunds.c.status,
            refunds.c.done_at_ms.label("at_ms"),
        )
        .join(payments, payments.c.id == refunds.c.payment_id)
        .join(orders, orders.c.id == payments.c.order_id)
    )


async def _settled_between(connection: AsyncConnection, gateway: str, start_ms: int, end_ms: int) -> list[_Entry]:
    """What we say moved on that day."""
    paid = _payments().where(
        payments.c.gateway == gateway,
        payments.c.opened_at_ms >= start_ms - _PAID_WITHIN_MS,
        payments.c.status == PAID,
        payments.c.paid_at_ms >= start_ms,
        payments.c.paid_at_ms < end_ms,
    )
    returned = _refunds().where(
        payments.c.gateway == gateway,
        payments.c.opened_at_ms >= start_ms - _RETURNED_WITHIN_MS,
        refunds.c.status == DONE,
        refunds.c.done_at_ms >= start_ms,
        refunds.c.done_at_ms < end_ms,
    )
    return [_entry(row) for query in (paid, returned) for row in await connection.execute(query)]


async def _of_references(
    connection: AsyncConnection, gateway: str, bill: Sequence[BillLine]
) -> dict[tuple[str, str], _Entry]:
    """What we know of the bill's lines, of whatever day."""
    found: dict[tuple[str, str], _Entry] = {}
    for query, kind, column in (
        (_payments(), "payment", payments.c.reference),
        (_refunds(), "refund", refunds.c.reference),
    ):
        wanted = [line.reference for line in bill if line.kind == kind]
        for begin in range(0, len(wanted), _CHUNK_COUNT):
            some = query.where(payments.c.gateway == gateway, column.in_(wanted[begin : begin + _CHUNK_COUNT]))
            for row in await connection.execute(some):
                found[(kind, row.reference)] = _entry(row)
    return found


def _entry(row: Row[Any]) -> _Entry:
    return _Entry(
        subject=row.subject,
        reference=row.reference,
        order=row.number,
        amount_minor=row.amount_minor,
        currency=row.currency,
        is_settled=row.status in (PAID, DONE),
        at_ms=row.at_ms,
    )
