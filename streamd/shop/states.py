"""The life of an order: which step follows which, and who may make it. A table, nothing else.

    created → paying → paid → shipped → completed
    created, paying → cancelled
    paid, shipped, completed, cancelled → refunding → refunded

`cancelled → refunding` is money that came after the order was given up: it goes back by itself. The steps are made by
`steps.step`, guarded in the statement that makes them.
"""

from __future__ import annotations

from typing import Final, Literal

from streamd.errors import ConflictError, ForbiddenError

Status = Literal["created", "paying", "paid", "shipped", "completed", "cancelled", "refunding", "refunded"]
Party = Literal["buyer", "staff", "host", "gateway", "expiry"]

CREATED: Final = "created"
PAYING: Final = "paying"
PAID: Final = "paid"
SHIPPED: Final = "shipped"
COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"
REFUNDING: Final = "refunding"
REFUNDED: Final = "refunded"

BUYER: Final = "buyer"
# Assistants of the room, and everybody above them.
STAFF: Final = "staff"
# The host of the room and administrators: those who see where a parcel goes and whose money it is.
HOST: Final = "host"
GATEWAY: Final = "gateway"
EXPIRY: Final = "expiry"

STEPS: Final[dict[tuple[str, str], frozenset[str]]] = {
    (CREATED, PAYING): frozenset({BUYER}),
    (CREATED, CANCELLED): frozenset({BUYER, STAFF, HOST, EXPIRY}),
    (PAYING, CANCELLED): frozenset({BUYER, STAFF, HOST, EXPIRY}),
    (PAYING, PAID): frozenset({GATEWAY}),
    (PAID, SHIPPED): frozenset({HOST}),
    (SHIPPED, COMPLETED): frozenset({BUYER, HOST}),
    (PAID, REFUNDING): frozenset({HOST}),
    (SHIPPED, REFUNDING): frozenset({HOST}),
    (COMPLETED, REFUNDING): frozenset({HOST}),
    (CANCELLED, REFUNDING): frozenset({GATEWAY}),
    (REFUNDING, REFUNDED): frozenset({GATEWAY}),
}
STATUSES: Final = (CREATED, PAYING, PAID, SHIPPED, COMPLETED, CANCELLED, REFUNDING, REFUNDED)
# What may still expire.
UNPAID: Final = (CREATED, PAYING)
# A refund out of these brings the goods back: they never left.
UNSHIPPED: Final = (PAID,)


def sources(wanted: str) -> tuple[str, ...]:
    """From where one comes to `wanted`, in the order of an order's life."""
    return tuple(status for status in STATUSES if (status, wanted) in STEPS)


def next_steps(status: str, parties: frozenset[str]) -> list[str]:
    """What an order may become by one of `parties`."""
    return [wanted for wanted in STATUSES if STEPS.get((status, wanted), frozenset()) & parties]


def check_step(status: str, wanted: str, parties: frozenset[str]) -> None:
    """Raises ConflictError that names both states, or ForbiddenError where others may make this step."""
    allowed = STEPS.get((status, wanted))
    if allowed is None:
        raise illegal(status, wanted)
    if not allowed & parties:
        raise ForbiddenError(
            f"an order that is {status} is made {wanted} by {' or '.join(sorted(allowed))}",
            fix="ask the host of the room",
            code="order_step_forbidden",
        )


def illegal(status: str, wanted: str) -> ConflictError:
    """There is no such step."""
    came_from = " or ".join(sources(wanted))
    return ConflictError(
        f"an order that is {status} cannot become {wanted}",
        why=f"it would have to be {came_from}" if came_from else f"no order ever becomes {wanted}",
        fix="look at the order again: it may have changed a moment ago",
        code="order_state",
    )
