"""What a show sells, and its card: `/api/v1/rooms/ROOM/products` and `/rooms/ROOM/card`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from streamd.api.bodies import Body
from streamd.api.goods import CardView, ProductId, ProductView, Version
from streamd.api.permissions import Actor, require
from streamd.api.routes import Route
from streamd.clock import Clock
from streamd.errors import ConflictError, NotFoundError
from streamd.shop.shelf import LIST_LIMIT_COUNT, Listing, ShowShelf
from streamd.shop.telling import Teller

_SHOW = require("host", "assistant", room="room")


def _once_each(ids: list[int]) -> list[int]:
    if len(set(ids)) != len(ids):
        raise ValueError("a product stands in a list once")
    return ids


class NewListing(Body):
    """The list to be, in order: the first nine are pinned by the keys 1 to 9."""

    products: Annotated[
        list[ProductId],
        Field(max_length=LIST_LIMIT_COUNT, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_once_each),
    ]
    version: Version = None


class Pin(Body):
    """What the host explains now."""

    product_id: ProductId
    version: Version = None


class CardQuery(BaseModel):
    """From which card."""

    version: Annotated[
        int | None, Field(ge=0, le=2**31 - 1, description="the one this was made from; a newer one is kept")
    ] = None


class ListingView(BaseModel):
    """What a room sells, in order, and its card."""

    room: str
    version: int = Field(description="grows with every change of the list")
    items: list[ProductView]
    card: CardView
    server_time_ms: int


class ShelfApi:
    """The handlers."""

    def __init__(self, *, shelf: ShowShelf, teller: Teller, clock: Clock) -> None:
        self._shelf = shelf
        self._teller = teller
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/products",
                handler=self.listing,
                summary="What the room sells now, in order, and its card",
                problems=(NotFoundError,),
            ),
            Route(
                method="PUT",
                path="/api/v1/rooms/{room}/products",
                handler=self.put,
                summary="Make this the room's list, in this order",
                require=_SHOW,
                audit="room.products.put",
                problems=(NotFoundError, ConflictError),
            ),
            Route(
                method="PUT",
                path="/api/v1/rooms/{room}/card",
                handler=self.pin,
                summary="Pin a product of the list: the host explains it now",
                require=_SHOW,
                audit="room.card.pin",
                problems=(NotFoundError, ConflictError),
            ),
            Route(
                method="DELETE",
                path="/api/v1/rooms/{room}/card",
                handler=self.unpin,
                summary="Take the card away",
                require=_SHOW,
                audit="room.card.unpin",
                problems=(NotFoundError, ConflictError),
            ),
        ]

    async def listing(self, *, room: str) -> ListingView:
        return self._view(room, await self._shelf.listing(room))

    async def put(self, *, room: str, body: NewListing, actor: Actor) -> ListingView:
        found = await self._shelf.put(room, body.products, by=actor.account.name, version=body.version)
        return self._view(room, found)

    async def pin(self, *, room: str, body: Pin, actor: Actor) -> CardView:
        return CardView.of(await self._shelf.pin(room, body.product_id, by=actor.account.name, version=body.version))

    async def unpin(self, *, room: str, query: CardQuery, actor: Actor) -> CardView:
        return CardView.of(await self._shelf.unpin(room, by=actor.account.name, version=query.version))

    def _view(self, room: str, listing: Listing) -> ListingView:
        now_ms = self._clock.utc_ms()
        # The same for everybody, and so without exact stock: those who sell look at their catalogue.
        items = [ProductView.of(ware, teller=self._teller, at_ms=now_ms, is_exact=False) for ware in listing.wares]
        return ListingView(
            room=room, version=listing.version, items=items, card=CardView.of(listing.card), server_time_ms=now_ms
        )
