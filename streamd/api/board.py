"""The show board: what a room's programmes brought, as JSON and for spreadsheets; and taps on cards."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from aiohttp import web
from pydantic import BaseModel, Field

from streamd.api.bodies import Body
from streamd.api.goods import ProductId
from streamd.api.permissions import require
from streamd.api.routes import Route
from streamd.board.figures import Board, Figures, Show, Sold
from streamd.board.sheet import sheet
from streamd.errors import NotFoundError

_SHOW = require("host", "assistant", room="room")


class Taps(Protocol):
    """What counts taps on cards: `streamd.board.attendance.Attendance`."""

    def clicked(self, room: str, product: int) -> None:
        """Raises NotFoundError."""
        ...


class Tap(Body):
    """Whose card was tapped."""

    product_id: ProductId


class ShowView(BaseModel):
    """A programme: from its first frame until its encoder has been gone for a while."""

    id: int
    room: str
    title: str = Field(description="of the room, when it began")
    started_at_ms: int
    ended_at_ms: int | None = Field(description="null while it runs")


class ShowPage(BaseModel):
    """Some programmes, newest first."""

    items: list[ShowView]
    next_cursor: int | None = Field(description="ask again with `cursor` set to it; null on the last page")


class MoneyView(BaseModel):
    """In minor units of one currency."""

    currency: str
    ordered_minor: int = Field(description="of all orders placed in the programme's time")
    paid_minor: int = Field(description="of those that were paid, then or later")
    refunded_minor: int


class SoldView(BaseModel):
    """What was shown and sold."""

    exposures: int = Field(description="people who were shown a card: when it was told, or on coming in while it stood")
    clicks: int = Field(description="taps on cards")
    orders: int
    buyers: int
    units: int
    paid_orders: int
    refunds: int
    money: list[MoneyView]


class ProductBoard(SoldView):
    """Of one product."""

    id: int
    title: str


class MinuteBoard(SoldView):
    """Of one minute."""

    at_ms: int
    online_peak: int
    came: int = Field(description="visits that began")
    likes: int
    messages: int


class BoardView(SoldView):
    """The figures of a programme: live while it runs, at most five seconds old, and kept."""

    show: ShowView
    viewers: int = Field(description="different people; guests by their address")
    visits: int
    average_watch_ms: int = Field(description="of a viewer, all visits together")
    peak: int = Field(description="most people at a time")
    likes: int
    messages: int = Field(description="danmaku that were shown")
    products: list[ProductBoard]
    minutes: list[MinuteBoard]


class ShowQuery(BaseModel):
    """Which programmes."""

    cursor: Annotated[int, Field(ge=1, le=1 << 53, description="`next_cursor` of the page before")] = 1 << 53
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class BoardQuery(BaseModel):
    """Which programme."""

    show: Annotated[int | None, Field(ge=1, le=1 << 53, description="its id; the newest one if left out")] = None


class SheetQuery(BoardQuery):
    """Which programme, and headed in which language."""

    lang: Literal["zh", "en"] = "en"


class BoardApi:
    """The handlers."""

    def __init__(self, *, board: Board, taps: Taps) -> None:
        self._board = board
        self._taps = taps

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/shows",
                handler=self.shows,
                summary="The room's programmes",
                require=_SHOW,
                problems=(NotFoundError,),
            ),
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/board",
                handler=self.board,
                summary="The figures of a programme: people, cards, orders, money; by product and by minute",
                require=_SHOW,
                problems=(NotFoundError,),
            ),
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/board.csv",
                handler=self.sheet,
                summary="The same figures for a spreadsheet",
                require=_SHOW,
                problems=(NotFoundError,),
            ),
            Route(
                method="POST",
                path="/api/v1/rooms/{room}/card/clicks",
                handler=self.tap,
                summary="Somebody tapped a product's card",
                problems=(NotFoundError,),
                repeatable=False,
            ),
        ]

    async def shows(self, *, room: str, query: ShowQuery) -> ShowPage:
        found = await self._board.shows(room, before=query.cursor, limit=query.limit + 1)
        shown = found[: query.limit]
        return ShowPage(
            items=[_show(each) for each in shown], next_cursor=shown[-1].id if len(found) > len(shown) else None
        )

    async def board(self, *, room: str, query: BoardQuery) -> BoardView:
        return _view(await self._board.figures(room, show_id=query.show))

    async def sheet(self, *, room: str, query: SheetQuery) -> web.Response:
        figures = await self._board.figures(room, show_id=query.show)
        name = f"{room}-{figures.show.id}.csv"
        return web.Response(
            body=sheet(figures, query.lang),
            content_type="text/csv",
            charset="utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def tap(self, *, room: str, body: Tap) -> None:
        self._taps.clicked(room, body.product_id)


def _show(show: Show) -> ShowView:
    return ShowView.model_validate({name: getattr(show, name) for name in ShowView.model_fields})


def _sold(sold: Sold) -> dict[str, object]:
    money = [
        MoneyView(
            currency=currency,
            ordered_minor=sums.ordered_minor,
            paid_minor=sums.paid_minor,
            refunded_minor=sums.refunded_minor,
        )
        for currency, sums in sorted(sold.money.items())
    ]
    return {name: getattr(sold, name) for name in SoldView.model_fields if name != "money"} | {"money": money}


def _view(figures: Figures) -> BoardView:
    counted = {name: getattr(figures, name) for name in ("viewers", "visits", "peak", "likes", "messages")}
    products = [ProductBoard.model_validate(_sold(p) | {"id": p.id, "title": p.title}) for p in figures.products]
    own = ("at_ms", "online_peak", "came", "likes", "messages")
    minutes = [MinuteBoard.model_validate(_sold(m) | {name: getattr(m, name) for name in own}) for m in figures.minutes]
    average_ms = round(figures.watch_ms / figures.viewers) if figures.viewers else 0
    return BoardView.model_validate(
        _sold(figures)
        | counted
        | {
            "show": _show(figures.show),
            "average_watch_ms": average_ms,
            "products": products,
            "minutes": minutes,
        }
    )
