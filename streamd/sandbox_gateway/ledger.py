"""The gateway's books: charges and refunds, in memory, with a bound. Pure: the time is given.

A reference is the shop's and stands for one charge: opening it again gives the same one, and another amount under it is
refused. What is oldest is forgotten when there are too many.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from streamd.errors import ConflictError, NotFoundError

ChargeState = Literal["open", "paid", "closed"]
RefundState = Literal["asked", "done", "failed"]
LIMIT_COUNT: Final = 50_000
LATE_MS: Final = 1_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a shop wants paid."""

    reference: str
    amount_minor: int
    currency: str
    title: str
    expires_at_ms: int
    notify_url: str
    return_url: str


@dataclass(slots=True, kw_only=True)
class Charge:
    """A payment that was made possible. `token` is in the address of its page, and nowhere else."""

    asked: Asked
    token: str
    gateway_reference: str
    opened_at_ms: int
    state: ChargeState = "open"
    at_ms: int = 0  # when it was paid or closed
    late_at_ms: int | None = None  # when it will be paid, by somebody whose bank takes its time

    def word(self) -> dict[str, object]:
        """How it stands, as shops are told."""
        return {
            "reference": self.asked.reference,
            "gateway_reference": self.gateway_reference,
            "state": self.state,
            "amount_minor": self.asked.amount_minor,
            "currency": self.asked.currency,
            "at_ms": self.at_ms or self.opened_at_ms,
        }


@dataclass(slots=True, kw_only=True)
class Refund:
    """Money on its way back."""

    reference: str
    payment: str
    amount_minor: int
    notify_url: str
    asked_at_ms: int
    due_at_ms: int
    state: RefundState = "asked"

    def word(self) -> dict[str, object]:
        """How it stands, as shops are told."""
        at_ms = self.asked_at_ms if self.state == "asked" else self.due_at_ms
        return {
            "reference": self.reference,
            "state": self.state,
            "amount_minor": self.amount_minor,
            "at_ms": at_ms,
        }


class Ledger:
    """See the module's promise."""

    def __init__(self, *, refund_delay_ms: int, limit_count: int = LIMIT_COUNT) -> None:
        self._refund_delay_ms = refund_delay_ms
        self._limit_count = limit_count
        self._charges: dict[str, Charge] = {}
        self._by_token: dict[str, Charge] = {}
        self._refunds: dict[str, Refund] = {}
        self._given: dict[str, int] = {}  # by payment
        self._late: dict[str, Charge] = {}
        self._returning: dict[str, Refund] = {}

    def open(self, asked: Asked, now_ms: int) -> Charge:
        """Make a payment possible. Raises ConflictError."""
        known = self._charges.get(asked.reference)
        if known is not None:
            if (known.asked.amount_minor, known.asked.currency) != (asked.amount_minor, asked.currency):
                raise ConflictError("this reference stands for another amount", code="reference_reused")
            return known
        token = secrets.token_urlsafe(24)
        charge = Charge(
            asked=asked, token=token, gateway_reference=f"SB{secrets.token_hex(10).upper()}", opened_at_ms=now_ms
        )
        if len(self._charges) >= self._limit_count:
            oldest = self._charges.pop(next(iter(self._charges)))
            del self._by_token[oldest.token]
            self._late.pop(oldest.asked.reference, None)
            self._given.pop(oldest.asked.reference, None)
        self._charges[asked.reference] = self._by_token[token] = charge
        return charge

    def charge(self, reference: str) -> Charge:
        """Raises NotFoundError."""
        return _known(self._charges.get(reference))

    def by_token(self, token: str) -> Charge:
        """Raises NotFoundError."""
        return _known(self._by_token.get(token))

    def pay(self, charge: Charge, now_ms: int) -> bool:
        """The payer pays; whether that was still possible."""
        return self._settle(charge, "paid", now_ms)

    def fail(self, charge: Charge, now_ms: int) -> bool:
        """The payer's bank refuses; whether it was asked at all."""
        return self._settle(charge, "closed", now_ms)

    def pay_late(self, charge: Charge, now_ms: int) -> bool:
        """The payer pays now, and the money comes when the shop has given up."""
        if charge.state != "open" or charge.late_at_ms is not None:
            return False
        charge.late_at_ms = max(now_ms, charge.asked.expires_at_ms) + LATE_MS
        self._late[charge.asked.reference] = charge
        return True

    def _settle(self, charge: Charge, state: ChargeState, now_ms: int) -> bool:
        if charge.state != "open":
            return False
        charge.state, charge.at_ms = state, now_ms
        self._late.pop(charge.asked.reference, None)
        return True

    def refund(
        self, *, reference: str, payment: str, amount_minor: int, notify_url: str, now_ms: int
    ) -> tuple[Refund, bool]:
        """The refund of this reference, and whether it is new. Raises NotFoundError, ConflictError."""
        known = self._refunds.get(reference)
        if known is not None:
            if (known.payment, known.amount_minor) != (payment, amount_minor):
                raise ConflictError("this reference stands for another refund", code="reference_reused")
            return known, False
        charge = self.charge(payment)
        given = self._given.get(payment, 0) + amount_minor
        if charge.state != "paid" or given > charge.asked.amount_minor:
            raise ConflictError("there is not so much to give back", code="refund_too_large")
        self._given[payment] = given
        refund = Refund(
            reference=reference,
            payment=payment,
            amount_minor=amount_minor,
            notify_url=notify_url,
            asked_at_ms=now_ms,
            due_at_ms=now_ms + self._refund_delay_ms,
        )
        if len(self._refunds) >= self._limit_count:
            self._returning.pop(oldest := next(iter(self._refunds)), None)
            del self._refunds[oldest]
        self._refunds[reference] = self._returning[reference] = refund
        return refund, True

    def advance(self, now_ms: int) -> tuple[list[Charge], list[Refund]]:
        """What has come about by now: late payments, and refunds that are through."""
        paid = [charge for charge in self._late.values() if (charge.late_at_ms or 0) <= now_ms]
        for charge in paid:
            self._settle(charge, "paid", charge.late_at_ms or now_ms)
        done = [refund for refund in self._returning.values() if refund.due_at_ms <= now_ms]
        for refund in done:
            refund.state = "done"
            del self._returning[refund.reference]
        return paid, done

    def bill(self, start_ms: int, end_ms: int) -> Iterator[dict[str, object]]:
        """Money that moved from `start_ms` to before `end_ms`, line by line."""
        for charge in self._charges.values():
            if charge.state == "paid" and start_ms <= charge.at_ms < end_ms:
                yield _line("payment", charge.asked.reference, charge, charge.asked.amount_minor, charge.at_ms)
        for refund in self._refunds.values():
            paid = self._charges.get(refund.payment)
            if paid is not None and refund.state == "done" and start_ms <= refund.due_at_ms < end_ms:
                yield _line("refund", refund.reference, paid, refund.amount_minor, refund.due_at_ms)


def _line(kind: str, reference: str, charge: Charge, amount_minor: int, at_ms: int) -> dict[str, object]:
    return {
        "kind": kind,
        "reference": reference,
        "gateway_reference": charge.gateway_reference,
        "amount_minor": amount_minor,
        "currency": charge.asked.currency,
        "at_ms": at_ms,
    }


def _known(found: T | None) -> T:
    if found is None:
        raise NotFoundError("there is no such payment here", why="it was never asked for, or long ago")
    return found
