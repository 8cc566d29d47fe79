"""The catalogue over HTTP: `/api/v1/products`. Everybody may look at a product; its owner's people change it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from aiohttp import web
from pydantic import BaseModel, Field

from streamd.accounts.roles import ADMIN, ASSISTANT, HOST
from streamd.accounts.rooms import Rooms
from streamd.accounts.users import User
from streamd.api.bodies import WHOLE, Body, Line, Lines, Slug
from streamd.api.goods import Currency, Price, ProductView, Status, Version
from streamd.api.permissions import SIGNED_IN, Actor
from streamd.api.routes import Route
from streamd.api.uploads import PICTURE_TYPES, upload
from streamd.clock import Clock
from streamd.errors import ConflictError, ForbiddenError, NotFoundError
from streamd.pictures.store import Pictures
from streamd.shop.catalogue import (
    DESCRIPTION_LIMIT,
    SKU_LIMIT_COUNT,
    SKU_NAME_LIMIT,
    STOCK_LIMIT,
    TITLE_LIMIT,
    Catalogue,
    NewSku,
    ProductChange,
    SkuChange,
    StockBy,
    StockTo,
    Ware,
)
from streamd.shop.goods import ARCHIVED
from streamd.shop.reading import unknown_product
from streamd.shop.telling import Teller

_IMAGE_SIDE_PX = 1_280
# One line that begins with something that can be seen.
Title = Annotated[
    str,
    Field(
        max_length=TITLE_LIMIT,
        pattern=r"^[^\s\x00-\x1f\x7f-\x9f\u2028\u2029][^\x00-\x1f\x7f-\x9f\u2028\u2029]*$",
    ),
]
Name = Annotated[Line, Field(max_length=SKU_NAME_LIMIT, description="of the variant: Red, M")]
Stock = Annotated[int, Field(ge=0, le=STOCK_LIMIT), WHOLE]
Limit = Annotated[int | None, Field(ge=1, le=1_000, description="pieces for one buyer; null: any number"), WHOLE]
Original = Annotated[Price | None, Field(description="struck through where it is higher than the price")]


class Roles(Protocol):
    """What people are in rooms: `streamd.accounts.identities.Identities`."""

    async def role(self, user: User, room: str) -> str:
        """In a room."""
        ...


class NewSkuBody(Body):
    """A variant to be."""

    name: Name = ""
    price_minor: Price
    original_price_minor: Original = None
    stock: Stock
    buyer_limit: Limit = None


class NewProduct(Body):
    """A product to be."""

    title: Title
    description: Annotated[Lines, Field(max_length=DESCRIPTION_LIMIT)] = ""
    currency: Currency = "CNY"
    skus: Annotated[list[NewSkuBody], Field(min_length=1, max_length=SKU_LIMIT_COUNT)]
    room: Annotated[Slug | None, Field(description="make it for the owner of this room; null: for yourself")] = None


class StockToBody(Body):
    """Stock as a number; refused where it is no longer what was seen."""

    to: Stock
    seen: Stock


class StockByBody(Body):
    """So many more, or fewer; whatever is sold meanwhile."""

    by: Annotated[int, Field(ge=-STOCK_LIMIT, le=STOCK_LIMIT), WHOLE]


class SkuChangeBody(Body):
    """What is to change of a SKU; what is left out stays. An original price or a limit of null takes it away."""

    id: Annotated[int, Field(ge=1, le=2**53 - 1), WHOLE]
    name: Name | None = None
    price_minor: Price | None = None
    original_price_minor: Original = None
    buyer_limit: Limit = None
    is_offered: bool | None = None
    stock: StockToBody | StockByBody | None = None


class ProductChangeBody(Body):
    """What is to change; what is left out stays."""

    version: Version = None
    title: Title | None = None
    description: Annotated[Lines | None, Field(max_length=DESCRIPTION_LIMIT)] = None
    status: Annotated[Status | None, Field(description="archived: put away, shown nowhere")] = None
    skus: Annotated[list[SkuChangeBody], Field(max_length=SKU_LIMIT_COUNT, default_factory=list)]
    new_skus: Annotated[list[NewSkuBody], Field(max_length=SKU_LIMIT_COUNT, default_factory=list)]


class ProductPage(BaseModel):
    """Some products, newest first."""

    items: list[ProductView]
    next_cursor: int | None = Field(description="ask again with `cursor` set to it; null on the last page")
    server_time_ms: int


class ProductsQuery(BaseModel):
    """Which products: those of the owner of `room`, or one's own."""

    room: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$", description="a room that one helps to run")] = (
        ""
    )
    q: Annotated[str, Field(max_length=TITLE_LIMIT, description="words in the title")] = ""
    status: Annotated[Literal["", "active", "sold_out", "archived"], Field(description="empty: not archived")] = ""
    cursor: Annotated[int, Field(ge=0, le=2**53 - 1, description="`next_cursor` of the page before")] = 0
    limit: Annotated[int, Field(ge=1, le=200, description="products in a page, at most")] = 50


class ProductsApi:
    """The handlers."""

    def __init__(
        self, *, catalogue: Catalogue, teller: Teller, rooms: Rooms, roles: Roles, pictures: Pictures, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._teller = teller
        self._rooms = rooms
        self._roles = roles
        self._pictures = pictures
        self._clock = clock

    def routes(self) -> list[Route]:
        return [*self._list_routes(), *self._product_routes()]

    def _list_routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/products",
                handler=self.list,
                summary="Products, newest first: those of a room's owner, or one's own",
                require=SIGNED_IN,
                problems=(NotFoundError,),
            ),
            Route(
                method="POST",
                path="/api/v1/products",
                handler=self.create,
                summary="A new product, with its SKUs",
                require=SIGNED_IN,
                audit="product.create",
                problems=(NotFoundError,),
                status=201,
            ),
        ]

    def _product_routes(self) -> list[Route]:
        path = "/api/v1/products/{product}"
        return [
            Route(
                method="GET",
                path=path,
                handler=self.get,
                summary="One product, and what it costs now",
                problems=(NotFoundError,),
            ),
            Route(
                method="PATCH",
                path=path,
                handler=self.change,
                summary="Change words, prices, stock, status; add SKUs; put away",
                require=SIGNED_IN,
                audit="product.change",
                problems=(NotFoundError, ConflictError),
            ),
            Route(
                method="PUT",
                path=f"{path}/image",
                handler=self.set_image,
                summary="Another picture: a JPEG, PNG or WebP of at most 8 MiB as the body",
                require=SIGNED_IN,
                audit="product.image.put",
                problems=(NotFoundError,),
                repeatable=False,
                upload=PICTURE_TYPES,
            ),
            Route(
                method="DELETE",
                path=f"{path}/image",
                handler=self.remove_image,
                summary="No picture",
                require=SIGNED_IN,
                audit="product.image.remove",
                problems=(NotFoundError,),
            ),
        ]

    async def list(self, *, query: ProductsQuery, actor: Actor) -> ProductPage:
        owner = await self._owner(query.room, actor) if query.room else actor.account.name
        found = await self._catalogue.page(
            owner=owner, words=query.q.strip(), status=query.status, before=query.cursor, limit=query.limit + 1
        )
        shown = found[: query.limit]
        return ProductPage(
            items=[self._view(ware, is_exact=True) for ware in shown],
            next_cursor=shown[-1].product.id if len(found) > len(shown) else None,
            server_time_ms=self._clock.utc_ms(),
        )

    async def create(self, *, body: NewProduct, actor: Actor) -> ProductView:
        if body.room is None and actor.account.role not in (ADMIN, HOST):
            raise ForbiddenError(
                f"{actor.account.name} is {actor.account.role}, and goods of one's own are for hosts",
                fix="name the room that you make it for",
                code="role_required",
            )
        owner = await self._owner(body.room, actor) if body.room else actor.account.name
        ware = await self._catalogue.create(
            owner=owner,
            title=body.title,
            description=body.description,
            currency=body.currency,
            variants=[NewSku(**sku.model_dump()) for sku in body.skus],
        )
        return self._view(ware, is_exact=True)

    async def get(self, *, product: str, actor: Actor) -> ProductView:
        ware = await self._catalogue.get(_id_of(product))
        is_theirs = await self._manages(ware, actor)
        if ware.product.status == ARCHIVED and not is_theirs:
            raise unknown_product(product)
        return self._view(ware, is_exact=is_theirs)

    async def change(self, *, product: str, body: ProductChangeBody, actor: Actor) -> ProductView:
        product_id = await self._theirs(product, actor)
        changed = await self._catalogue.change(product_id, _change_of(body), version=body.version)
        return self._view(changed, is_exact=True)

    async def set_image(self, *, product: str, actor: Actor, request: web.Request) -> ProductView:
        product_id = await self._theirs(product, actor)
        picture = await self._pictures.add(await upload(request), side_px=_IMAGE_SIDE_PX)
        changed = await self._catalogue.change(product_id, ProductChange(values={"image": picture}))
        return self._view(changed, is_exact=True)

    async def remove_image(self, *, product: str, actor: Actor) -> None:
        product_id = await self._theirs(product, actor)
        await self._catalogue.change(product_id, ProductChange(values={"image": None}))

    # --- whose goods ---

    async def _owner(self, slug: str, actor: Actor) -> str:
        """Whose goods a room sells, for one who helps to run it. Raises NotFoundError, ForbiddenError."""
        room = await self._rooms.get(slug)
        if actor.account.role != ADMIN and await self._roles.role(actor.account, slug) not in (HOST, ASSISTANT):
            raise _not_theirs(actor)
        return room.owner or actor.account.name

    async def _theirs(self, product: str, actor: Actor) -> int:
        """The id of a product that the caller may change. Raises NotFoundError, ForbiddenError."""
        ware = await self._catalogue.get(_id_of(product))
        if not await self._manages(ware, actor):
            raise _not_theirs(actor)
        return ware.product.id

    async def _manages(self, ware: Ware, actor: Actor) -> bool:
        user = actor.user
        if user is None or user.role == ADMIN:
            return user is not None
        return await self._catalogue.may_manage(user_id=user.id, name=user.name, owner=ware.product.owner)

    def _view(self, ware: Ware, *, is_exact: bool) -> ProductView:
        return ProductView.of(ware, teller=self._teller, at_ms=self._clock.utc_ms(), is_exact=is_exact)


def _id_of(product: str) -> int:
    """A product's id as addresses have it. Raises NotFoundError."""
    if product.isascii() and product.isdigit() and len(product) <= 16:
        return int(product)
    raise unknown_product(product)


def _change_of(body: ProductChangeBody) -> ProductChange:
    return ProductChange(
        values=body.model_dump(include={"title", "description", "status"}, exclude_none=True),
        skus=[_sku_change_of(sku) for sku in body.skus],
        new_skus=[NewSku(**sku.model_dump()) for sku in body.new_skus],
    )


def _sku_change_of(body: SkuChangeBody) -> SkuChange:
    values: dict[str, Any] = body.model_dump(include={"name", "price_minor", "is_offered"}, exclude_none=True)
    # None is a word here: nothing is struck through any more, nobody is limited any more.
    values |= body.model_dump(include={"original_price_minor", "buyer_limit"}, exclude_unset=True)
    match body.stock:
        case StockToBody(to=to, seen=seen):
            return SkuChange(id=body.id, values=values, stock=StockTo(to=to, seen=seen))
        case StockByBody(by=by):
            return SkuChange(id=body.id, values=values, stock=StockBy(by=by))
        case None:
            return SkuChange(id=body.id, values=values)


def _not_theirs(actor: Actor) -> ForbiddenError:
    return ForbiddenError(
        f"{actor.account.name} does not sell these goods",
        why="they are for their owner, and for hosts and assistants of the owner's rooms",
        fix="ask the owner to make you an assistant",
        code="role_required",
    )
