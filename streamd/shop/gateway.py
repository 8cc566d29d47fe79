"""What the shop asks of a payment gateway, and what a gateway tells it. Values and one Protocol; no I/O.

Money is an integer in the currency's minor unit. A `reference` is ours, made before the gateway hears of it: asking
twice with one reference is asking once. A gateway's word counts only after its signature was verified (`read_notice`)
or when we asked it ourselves (`query`, `refund`, `bill`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

OPEN: Final = "open"
PAID: Final = "paid"
CLOSED: Final = "closed"  # will never be paid
ASKED: Final = "asked"
DONE: Final = "done"
FAILED: Final = "failed"

Kind = Literal["payment", "refund"]
PaymentState = Literal["open", "paid", "closed"]
RefundState = Literal["asked", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What somebody is to pay."""

    reference: str
    amount_minor: int
    currency: str
    title: str  # what the payer reads
    expires_at_ms: int
    notify_url: str
    return_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Where to pay."""

    gateway_reference: str
    pay_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentWord:
    """What the gateway says of a payment. `amount_minor` is what was in fact paid; `at_ms` when."""

    reference: str
    gateway_reference: str
    state: PaymentState
    amount_minor: int
    currency: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWord:
    """What the gateway says of a refund."""

    reference: str
    state: RefundState
    amount_minor: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A verified message. `id` is the gateway's: the same message told again has the same one."""

    id: str
    word: PaymentWord | RefundWord


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line of a day's bill: money that came (`payment`) or went back (`refund`) at `at_ms`."""

    kind: Kind
    reference: str
    gateway_reference: str
    amount_minor: int
    currency: str
    at_ms: int


class PaymentGateway(Protocol):
    """One way to be paid. Calls raise UnavailableError where the gateway does not answer in time, ConflictError where
    it refuses. Cancel-safe: the gateway may have heard; asking again with the same reference is harmless.
    """

    @property
    def name(self) -> str:
        """In addresses and in the database: letters, 16 at most."""
        ...

    async def open(self, charge: Charge) -> Opened:
        """Make a payment possible."""
        ...

    async def query(self, reference: str) -> PaymentWord | None:
        """How a payment stands; None where the gateway knows none."""
        ...

    async def refund(self, *, reference: str, payment: str, amount_minor: int, notify_url: str) -> RefundWord:
        """Ask for money to go back, or how that stands where it was asked for before."""
        ...

    def read_notice(self, *, path: str, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """A message that came in. Raises UnauthenticatedError (signature, age), InvalidError (what it says)."""
        ...

    async def bill(self, day: str) -> list[BillLine]:
        """All of a UTC day, YYYY-MM-DD."""
        ...
