"""Orders in JSON, `/orders` and `/rooms/ROOM/orders`: placed by buyers, seen and moved along by buyers and staff.

Who is nothing to an order is told that there is none. Where a parcel goes is shown to its buyer and to the room's host.
What staff do to an order is recorded before it is done.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from aiohttp import web
from pydantic import BaseModel, Field

from streamd.accounts.audit import Deed
from streamd.accounts.roles import ADMIN, ASSISTANT, HOST
from streamd.accounts.users import User
from streamd.api.bodies import WHOLE, Body, Line, Lines, Slug
from streamd.api.border import Recorder, idempotency_key
from streamd.api.permissions import SIGNED_IN, Actor, require
from streamd.api.routes import Route
from streamd.clock import Clock
from streamd.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from streamd.shop import states
from streamd.shop.orders import NUMBER_PATTERN, By, Order, Orders, OrderStep, unknown_order
from streamd.shop.placing import Purchase, new_number
from streamd.shop.refunds import Refunds
from streamd.shop.shipping import Shipping, ShippingBook

Status = Literal["created", "paying", "paid", "shipped", "completed", "cancelled", "refunding", "refunded"]
_NUMBER = re.compile(NUMBER_PATTERN)
_LAST = 1 << 53


class Counter(Protocol):
    """Takes orders: `streamd.shop.till.Till`."""

    async def place(self, purchase: Purchase) -> Order:
        """Raises NotFoundError, ConflictError, UnavailableError."""
        ...


class RoomRoles(Protocol):
    """Who is what in a room: `streamd.accounts.identities.Identities`."""

    async def role(self, user: User, room: str) -> str:
        """admin, host, assistant, moderator or viewer."""
        ...


class ShippingGiven(Body):
    """Where the parcel goes. Sealed before it is stored."""

    recipient: Annotated[Line, Field(min_length=1, max_length=100)]
    phone: Annotated[Line, Field(min_length=3, max_length=40)]
    address: Annotated[Lines, Field(min_length=1, max_length=400)]


class NewOrder(Body):
    """What is bought. The price is the server's; with `expected_unit_price_minor`, no other one is accepted."""

    room: Slug
    sku_id: Annotated[int, Field(ge=1, le=_LAST), WHOLE]
    count: Annotated[int, Field(ge=1, le=1_000), WHOLE] = 1
    shipping: ShippingGiven | None = None
    expected_unit_price_minor: Annotated[int | None, Field(ge=0, le=_LAST), WHOLE] = None


class Reason(Body):
    """Why, for the order's history."""

    reason: Annotated[Line, Field(max_length=200)] = ""


class Sending(Body):
    """By whom and under which number it is on its way."""

    tracking: Annotated[Line, Field(max_length=100)] = ""


class ShippingView(BaseModel):
    """Where the parcel goes."""

    recipient: str
    phone: str
    address: str


class StepView(BaseModel):
    """A line of an order's history."""

    status: Status
    at_ms: int
    actor: str = Field(description="account name; `gateway` or `expiry` where nobody did it")
    reason: str


class OrderView(BaseModel):
    """An order, as in lists."""

    order: str = Field(description="its number, in every address")
    room: str
    buyer: str = Field(description="account name")
    product_id: int
    sku_id: int
    title: str
    sku_name: str
    count: int
    unit_price_minor: int
    total_minor: int
    currency: str
    status: Status
    is_sale: bool = Field(description="whether a flash sale made its price")
    tracking: str
    placed_at_ms: int
    expires_at_ms: int = Field(description="an unpaid one is cancelled then, and its goods go back")
    paid_at_ms: int | None
    changed_at_ms: int


class OrderDetail(OrderView):
    """An order with its history, and with what the caller may make of it."""

    history: list[StepView]
    next: list[Status]
    shipping: ShippingView | None = Field(description="for the buyer and the room's host; null for others")


class OrderPage(BaseModel):
    """Some orders, newest first."""

    items: list[OrderView]
    next_cursor: int | None = Field(description="ask again with `cursor` set to it; null on the last page")


class OrdersQuery(BaseModel):
    """Which of mine."""

    cursor: Annotated[int, Field(ge=1, le=_LAST, description="`next_cursor` of the page before")] = _LAST
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class RoomOrdersQuery(OrdersQuery):
    """Which of the room's."""

    status: Annotated[Status | None, Field(description="of this state only")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """An order, and what the caller is to it."""

    order: Order
    by: By


class OrdersApi:
    """The handlers."""

    def __init__(
        self,
        *,
        counter: Counter,
        orders: Orders,
        refunds: Refunds,
        shipping: ShippingBook,
        roles: RoomRoles,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._counter = counter
        self._orders = orders
        self._refunds = refunds
        self._shipping = shipping
        self._roles = roles
        self._recorder = recorder
        self._clock = clock

    def routes(self) -> list[Route]:
        return [*self._reading(), *self._doing()]

    def _reading(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/orders",
                handler=self.mine,
                summary="My orders, newest first",
                require=SIGNED_IN,
            ),
            Route(
                method="GET",
                path="/api/v1/orders/{order}",
                handler=self.show,
                summary="An order, for its buyer and the room's staff",
                require=SIGNED_IN,
                problems=(NotFoundError,),
            ),
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/orders",
                handler=self.of_room,
                summary="The room's orders, newest first",
                require=require("host", "assistant", room="room"),
            ),
        ]

    def _doing(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/v1/orders",
                handler=self.place,
                summary="Order; the Idempotency-Key is needed, and one key is one order for ever",
                require=SIGNED_IN,
                problems=(NotFoundError, ConflictError, UnavailableError),
                status=201,
                repeatable=False,
                needs_key=True,
            ),
            *(
                Route(
                    method="POST",
                    path=f"/api/v1/orders/{{order}}/{name}",
                    handler=handler,
                    summary=summary,
                    require=SIGNED_IN,
                    problems=(NotFoundError, ConflictError),
                )
                for name, handler, summary in (
                    ("cancel", self.cancel, "Give an unpaid order up, as its buyer or as staff"),
                    ("ship", self.ship, "It is on its way: for the room's host"),
                    ("complete", self.complete, "It has arrived: for its buyer and the room's host"),
                    ("refund", self.refund, "Give all the money back: for the room's host"),
                )
            ),
        ]

    # --- placed ---

    async def place(self, *, body: NewOrder, actor: Actor, request: web.Request) -> OrderDetail:
        key = idempotency_key(request)
        if key is None:
            raise InvalidError(
                "an order needs an Idempotency-Key",
                why="without one, an order whose answer got lost would be placed twice",
                fix="send a header `Idempotency-Key` with a new UUID for every order, and the same one to ask again",
                code="idempotency_key",
            )
        buyer = actor.account
        number = new_number(self._clock.utc_ms())
        given = Shipping(**body.shipping.model_dump()) if body.shipping is not None else None
        placed = await self._counter.place(
            Purchase(
                number=number,
                room=body.room,
                buyer_id=buyer.id,
                buyer_name=buyer.name,
                buyer_display_name=buyer.display_name,
                sku_id=body.sku_id,
                count=body.count,
                expected_unit_price_minor=body.expected_unit_price_minor,
                shipping_sealed=self._shipping.seal(given, number=number),
                key_hash=hashlib.sha256(key.encode()).hexdigest(),
                request_hash=hashlib.sha256(body.model_dump_json().encode()).hexdigest(),
            )
        )
        seen = _Seen(order=placed, by=By(name=buyer.name, parties=frozenset({states.BUYER})))
        first = OrderStep(status=states.CREATED, at_ms=placed.placed_at_ms, actor=buyer.name, reason="")
        return self._detail(seen, [first] if placed.status == states.CREATED else await self._orders.history(placed))

    # --- seen ---

    async def mine(self, *, query: OrdersQuery, actor: Actor) -> OrderPage:
        return _page(await self._orders.of_buyer(actor.account.id, before=query.cursor, limit=query.limit + 1), query)

    async def of_room(self, *, room: str, query: RoomOrdersQuery) -> OrderPage:
        found = await self._orders.of_room(room, status=query.status, before=query.cursor, limit=query.limit + 1)
        return _page(found, query)

    async def show(self, *, order: str, actor: Actor) -> OrderDetail:
        seen = await self._find(order, actor)
        return self._detail(seen, await self._orders.history(seen.order))

    async def _find(self, number: str, actor: Actor) -> _Seen:
        if not _NUMBER.fullmatch(number):
            raise unknown_order()
        order, user = await self._orders.get(number), actor.account
        parties = {states.BUYER} if order.buyer_id == user.id else set()
        match await self._roles.role(user, order.room):
            case role if role in (ADMIN, HOST):
                parties |= {states.STAFF, states.HOST}
            case role if role == ASSISTANT:
                parties.add(states.STAFF)
        if not parties:
            raise unknown_order()
        return _Seen(order=order, by=By(name=user.name, parties=frozenset(parties)))

    def _detail(self, seen: _Seen, history: Sequence[OrderStep]) -> OrderDetail:
        order, parties = seen.order, seen.by.parties
        may_see = parties & {states.BUYER, states.HOST}
        shipping = self._shipping.open(order.shipping_sealed, number=order.number) if may_see else None
        view = _view(order).model_dump()
        told = {
            "history": [{name: getattr(step, name) for name in StepView.model_fields} for step in history],
            "next": states.next_steps(order.status, parties),
            "shipping": {name: getattr(shipping, name) for name in ShippingView.model_fields} if shipping else None,
        }
        return OrderDetail.model_validate(view | told)

    # --- moved along ---

    async def cancel(self, *, order: str, body: Reason, actor: Actor) -> OrderDetail:
        seen = await self._deed(order, actor, states.CANCELLED, "order.cancel")
        await self._orders.cancel(order, by=seen.by, reason=body.reason)
        return await self.show(order=order, actor=actor)

    async def ship(self, *, order: str, body: Sending, actor: Actor) -> OrderDetail:
        seen = await self._deed(order, actor, states.SHIPPED, "order.ship")
        await self._orders.ship(order, tracking=body.tracking, by=seen.by)
        return await self.show(order=order, actor=actor)

    async def complete(self, *, order: str, actor: Actor) -> OrderDetail:
        seen = await self._deed(order, actor, states.COMPLETED, "order.complete")
        await self._orders.complete(order, by=seen.by)
        return await self.show(order=order, actor=actor)

    async def refund(self, *, order: str, body: Reason, actor: Actor) -> OrderDetail:
        seen = await self._deed(order, actor, states.REFUNDING, "order.refund")
        await self._refunds.request(order, by=seen.by, reason=body.reason)
        return await self.show(order=order, actor=actor)

    async def _deed(self, number: str, actor: Actor, wanted: str, action: str) -> _Seen:
        """What is about to be done, recorded where it is not the buyer's own affair."""
        seen = await self._find(number, actor)
        # A refund that failed may be asked for again.
        if not (seen.order.status == wanted == states.REFUNDING and states.HOST in seen.by.parties):
            states.check_step(seen.order.status, wanted, seen.by.parties)
        buyers_own = states.next_steps(seen.order.status, seen.by.parties & {states.BUYER})
        if wanted not in buyers_own:
            await self._recorder.record(
                Deed(
                    actor=actor.account.name,
                    role=await self._roles.role(actor.account, seen.order.room),
                    action=action,
                    room=seen.order.room,
                    target=number,
                    address=actor.address,
                    request_id=actor.request_id,
                )
            )
        return seen


def _view(order: Order) -> OrderView:
    own = {name: getattr(order, name) for name in OrderView.model_fields if hasattr(order, name)}
    return OrderView.model_validate(
        own | {"order": order.number, "buyer": order.buyer_name, "is_sale": order.sale_id is not None}
    )


def _page(found: Sequence[Order], query: OrdersQuery) -> OrderPage:
    shown = found[: query.limit]
    return OrderPage(
        items=[_view(order) for order in shown], next_cursor=shown[-1].id if len(found) > len(shown) else None
    )
