"""Goods in JSON: what `/products`, a room's list and its card have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from streamd.api.bodies import WHOLE
from streamd.shop.catalogue import Ware
from streamd.shop.goods import Sale, Sku
from streamd.shop.money import CURRENCIES, PRICE_LIMIT_MINOR
from streamd.shop.pricing import is_announced, price_at, shown_stock
from streamd.shop.telling import Card, Teller, terms

Price = Annotated[int, Field(ge=1, le=PRICE_LIMIT_MINOR, description="in the currency's minor unit"), WHOLE]
ProductId = Annotated[int, Field(ge=1, le=2**53 - 1, description="a product's id"), WHOLE]
Version = Annotated[
    int | None, Field(ge=0, le=2**31 - 1, description="the one this was made from; a newer one is kept"), WHOLE
]
Currency = Annotated[str, Field(json_schema_extra={"enum": sorted(CURRENCIES)}, description="ISO 4217")]
Status = Literal["active", "sold_out", "archived"]


class SaleTerms(BaseModel):
    """A flash sale as viewers see it."""

    id: int
    sku_id: int
    price_minor: int = Field(description="what one costs while it runs")
    ends_at_ms: int
    limit: int | None = Field(description="pieces for one buyer; null: any number")
    left: int = Field(description="pieces left at its price, in steps")
    starts_at_ms: int | None = Field(default=None, description="while it is announced and does not run yet")


class SkuView(BaseModel):
    """A variant."""

    id: int
    name: str = Field(description="empty where the product has no variants")
    price_minor: int = Field(description="what one costs now")
    original_price_minor: int | None = Field(description="what is struck through now")
    base_price_minor: int = Field(description="what one costs without a flash sale")
    base_original_price_minor: int | None = Field(description="what is struck through without a flash sale")
    stock: int = Field(description="exact for those who sell it, in steps for others")
    buyer_limit: int | None = Field(description="pieces for one buyer; null: any number")
    is_offered: bool
    sale: SaleTerms | None

    @classmethod
    def of(cls, sku: Sku, sale: Sale | None, *, at_ms: int, is_exact: bool) -> SkuView:
        """The view of a SKU; `sale` is the one that stands."""
        price = price_at(sku, sale, at_ms=at_ms)
        stands = sale is not None and (price.sale is not None or is_announced(sale, at_ms=at_ms))
        shown = terms(sale, is_running=price.sale is not None) if sale is not None and stands else None
        return cls(
            id=sku.id,
            name=sku.name,
            price_minor=price.unit_minor,
            original_price_minor=price.original_minor,
            base_price_minor=sku.price_minor,
            base_original_price_minor=sku.original_price_minor,
            stock=sku.stock if is_exact else shown_stock(sku.stock),
            buyer_limit=sku.buyer_limit,
            is_offered=sku.is_offered,
            sale=SaleTerms.model_validate(shown) if shown is not None else None,
        )


class ProductView(BaseModel):
    """A product. Price, stock and sale are of what can be bought for least; each SKU has its own."""

    id: int
    title: str
    description: str
    owner: str = Field(description="name of the account whose goods these are")
    price_minor: int
    currency: str
    original_price_minor: int | None = Field(description="what is struck through")
    stock: int = Field(description="of all SKUs; exact for those who sell it, in steps for others")
    status: Status
    image: str | None = Field(description="where its picture is, for ever; null where there is none")
    version: int
    sale: SaleTerms | None
    skus: list[SkuView]
    created_at_ms: int
    updated_at_ms: int

    @classmethod
    def of(cls, ware: Ware, *, teller: Teller, at_ms: int, is_exact: bool) -> ProductView:
        """The view of a product; others than those who sell it see what is offered only."""
        product = ware.product
        variants = [sku for sku in product.skus if sku.is_offered or is_exact]
        facts: dict[str, Any] = {
            name: getattr(product, name)
            for name in ("id", "title", "description", "owner", "currency", "version", "created_at_ms", "updated_at_ms")
        }
        shown = {"sale": None} | teller.picture_of(product, ware.offer)
        if is_exact:
            shown["stock"] = sum(sku.stock for sku in product.skus if sku.is_offered)
        views = [SkuView.of(sku, ware.sales.get(sku.id), at_ms=at_ms, is_exact=is_exact) for sku in variants]
        return cls.model_validate(facts | shown | {"skus": [view.model_dump() for view in views]})


class CardProduct(BaseModel):
    """A product on a card, as rooms see it."""

    id: int
    title: str
    price_minor: int
    currency: str
    original_price_minor: int | None
    stock: int = Field(description="in steps")
    status: Status
    image: str | None
    sale: SaleTerms | None = None


class CardView(BaseModel):
    """The card of a room: what the host explains now."""

    version: int = Field(description="grows with every pin and unpin")
    at_ms: int = Field(description="when it was pinned or taken away")
    by: str = Field(description="name of the account that did; empty while nobody has")
    product: CardProduct | None

    @classmethod
    def of(cls, card: Card) -> CardView:
        """The view of a card."""
        return cls.model_validate({**card.payload(), "by": card.by})
