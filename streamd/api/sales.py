"""Flash sales: `/api/v1/rooms/ROOM/sales`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from streamd.api.bodies import WHOLE, Body
from streamd.api.goods import Price
from streamd.api.permissions import Actor, require
from streamd.api.routes import Handler, Route
from streamd.clock import Clock
from streamd.errors import ConflictError, NotFoundError
from streamd.shop.catalogue import STOCK_LIMIT
from streamd.shop.goods import Sale
from streamd.shop.pricing import phase
from streamd.shop.sales import COUNTDOWN_S, DURATION_S, SalePlan, Sales, unknown_sale

_SHOW = require("host", "assistant", room="room")


class NewSale(Body):
    """A sale to be; without a countdown it begins at once."""

    sku_id: Annotated[int, Field(ge=1, le=2**53 - 1), WHOLE]
    price_minor: Annotated[Price, Field(description="below what the SKU costs")]
    countdown_s: Annotated[int | None, Field(ge=COUNTDOWN_S[0], le=COUNTDOWN_S[1]), WHOLE] = None
    duration_s: Annotated[int, Field(ge=DURATION_S[0], le=DURATION_S[1]), WHOLE]
    quantity: Annotated[int, Field(ge=1, le=STOCK_LIMIT, description="pieces at this price"), WHOLE]
    buyer_limit: Annotated[
        int | None, Field(ge=1, le=1_000, description="pieces for one buyer; null: any number"), WHOLE
    ] = None


class SaleView(BaseModel):
    """A flash sale."""

    id: int
    room: str
    sku_id: int
    price_minor: int
    starts_at_ms: int
    ends_at_ms: int
    quantity: int
    sold: int
    buyer_limit: int | None
    status: Literal["announced", "running", "ended", "cancelled"]
    created_by: str = Field(description="name of the account that did")
    created_at_ms: int


class SalePage(BaseModel):
    """Some sales, newest first."""

    items: list[SaleView]
    next_cursor: int | None = Field(description="ask again with `cursor` set to it; null on the last page")
    server_time_ms: int


class SalesQuery(BaseModel):
    """Which sales."""

    cursor: Annotated[int, Field(ge=0, le=2**53 - 1, description="`next_cursor` of the page before")] = 0
    limit: Annotated[int, Field(ge=1, le=200, description="sales in a page, at most")] = 50


class SalesApi:
    """The handlers."""

    def __init__(self, *, sales: Sales, clock: Clock) -> None:
        self._sales = sales
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/sales",
                handler=self.list,
                summary="The room's flash sales",
                require=_SHOW,
                problems=(NotFoundError,),
            ),
            _route("", self.announce, "Announce a flash sale, or begin it at once", "room.sale.announce", status=201),
            _route("/{sale}/cancel", self.cancel, "Take an announced flash sale back", "room.sale.cancel"),
            _route("/{sale}/end", self.end, "End a running flash sale now", "room.sale.end"),
        ]

    async def list(self, *, room: str, query: SalesQuery) -> SalePage:
        found = await self._sales.page(room, before=query.cursor, limit=query.limit + 1)
        shown = found[: query.limit]
        return SalePage(
            items=[self._view(room, sale) for sale in shown],
            next_cursor=shown[-1].id if len(found) > len(shown) else None,
            server_time_ms=self._clock.utc_ms(),
        )

    async def announce(self, *, room: str, body: NewSale, actor: Actor) -> SaleView:
        plan = SalePlan(**body.model_dump())
        return self._view(room, await self._sales.announce(room, plan, by=actor.account.name))

    async def cancel(self, *, room: str, sale: str) -> SaleView:
        return self._view(room, await self._sales.cancel(room, _id_of(sale)))

    async def end(self, *, room: str, sale: str) -> SaleView:
        return self._view(room, await self._sales.end(room, _id_of(sale)))

    def _view(self, room: str, sale: Sale) -> SaleView:
        names = [name for name in SaleView.model_fields if name not in ("room", "status")]
        facts = {name: getattr(sale, name) for name in names}
        return SaleView.model_validate({**facts, "room": room, "status": phase(sale, at_ms=self._clock.utc_ms())})


def _id_of(sale: str) -> int:
    """A sale's id as addresses have it. Raises NotFoundError."""
    if sale.isascii() and sale.isdigit() and len(sale) <= 16:
        return int(sale)
    raise unknown_sale(sale)


def _route(tail: str, handler: Handler, summary: str, audit: str, *, status: int = 200) -> Route:
    return Route(
        method="POST",
        path=f"/api/v1/rooms/{{room}}/sales{tail}",
        handler=handler,
        summary=summary,
        require=_SHOW,
        audit=audit,
        problems=(NotFoundError, ConflictError),
        status=status,
    )
