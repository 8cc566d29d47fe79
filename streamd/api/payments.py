"""Payments in JSON: opened by buyers, settled by gateways, compared by administrators.

A gateway's notice is no call of the API: it comes without an account, its body is read as it is because its signature
is over those bytes, and its answer is for a machine that repeats until it hears 2xx. So it stands outside the border
(limits and Idempotency-Keys are for callers) and outside the description.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from streamd.api.bodies import Body
from streamd.api.permissions import ADMINS, SIGNED_IN, Actor
from streamd.api.routes import Route
from streamd.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from streamd.shop.orders import NUMBER_PATTERN, unknown_order
from streamd.shop.payments import Payments
from streamd.shop.reconciliation import DifferenceKind, Reconciler

# What gateways wait for is 5 s; who is not answered in time comes again, so the answer is not worth holding back.
_ANSWER_S: Final = 4.5
_NOTICE_LIMIT_BYTES: Final = 64 << 10
_NUMBER = re.compile(NUMBER_PATTERN)
_GatewayName = Annotated[str, Field(pattern=r"^[a-z0-9]{0,16}$", description="empty: the server's first one")]


class NewPayment(Body):
    """By which gateway."""

    gateway: _GatewayName = ""


class PaymentView(BaseModel):
    """Where to pay."""

    order: str
    gateway: str
    reference: str = Field(description="what the gateway knows it by")
    pay_url: str = Field(description="the page to go to")
    amount_minor: int
    currency: str
    status: Literal["open", "paid", "closed"]


class DayQuery(BaseModel):
    """Which day, in UTC."""

    # No pattern beside the format: it would promise 0000-00-00. What is no day is refused by who counts its bounds.
    day: Annotated[str, Field(description="2026-11-21", json_schema_extra={"format": "date"})]


class DifferenceView(BaseModel):
    """One thing that does not agree."""

    kind: DifferenceKind
    subject: Literal["payment", "refund"]
    reference: str
    order: str = Field(description="empty where we know none")
    ours_minor: int | None
    theirs_minor: int | None
    fix: str


class ReconciliationView(BaseModel):
    """A day's money, ours against the gateway's."""

    gateway: str
    day: str
    ours_count: int
    theirs_count: int
    ours_minor: int = Field(description="paid less refunded")
    theirs_minor: int
    differences: list[DifferenceView]


class PaymentsApi:
    """The handlers."""

    def __init__(self, *, payments: Payments, reconciler: Reconciler) -> None:
        self._payments = payments
        self._reconciler = reconciler

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/v1/orders/{order}/payments",
                handler=self.open,
                summary="Where to pay an order; the same place again while that is open",
                require=SIGNED_IN,
                problems=(NotFoundError, ConflictError, UnavailableError),
                status=201,
            ),
            Route(
                method="GET",
                path="/api/v1/payments/{gateway}/reconciliation",
                handler=self.reconcile,
                summary="A day's payments and refunds against the gateway's bill: every difference",
                require=ADMINS,
                problems=(NotFoundError, UnavailableError),
            ),
            Route(
                method="POST",
                path="/api/v1/payments/{gateway}/notify",
                handler=self.notify,
                summary="A gateway tells what happened",
                documented=False,
            ),
        ]

    async def open(self, *, order: str, body: NewPayment, actor: Actor) -> PaymentView:
        if not _NUMBER.fullmatch(order):
            raise unknown_order()
        payment = await self._payments.open(order, buyer_id=actor.account.id, gateway=body.gateway)
        own = {name: getattr(payment, name) for name in PaymentView.model_fields if name != "order"}
        return PaymentView.model_validate(own | {"order": order})

    async def notify(self, *, gateway: str, request: web.Request) -> web.Response:
        if (request.content_length or 0) > _NOTICE_LIMIT_BYTES:
            raise InvalidError("no notification is that long", code="notice")
        body = await request.read()
        try:
            async with asyncio.timeout(_ANSWER_S):
                outcome = await self._payments.notified(gateway, path=request.path, headers=request.headers, body=body)
        except TimeoutError as error:
            raise UnavailableError("this took too long", fix="tell it again", code="notice_late") from error
        return web.json_response({"outcome": outcome})

    async def reconcile(self, *, gateway: str, query: DayQuery) -> ReconciliationView:
        report = await self._reconciler.report(gateway, query.day)
        told = {name: getattr(report, name) for name in ReconciliationView.model_fields if name != "differences"}
        differences = [{name: getattr(one, name) for name in DifferenceView.model_fields} for one in report.differences]
        return ReconciliationView.model_validate(told | {"differences": differences})
