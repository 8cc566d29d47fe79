"""The goods of a node, joined: what the API, orders and the demo each need once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.clock import Clock
from streamd.shop.catalogue import Catalogue
from streamd.shop.sales import Jobs, Sales
from streamd.shop.shelf import ShowShelf
from streamd.shop.telling import Outbox, Teller


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """What is sold, where, at what price, and what rooms hear of it."""

    teller: Teller
    catalogue: Catalogue
    shelf: ShowShelf
    sales: Sales


def open_goods(
    *, engine: AsyncEngine, clock: Clock, outbox: Outbox, jobs: Jobs, picture_path: Callable[[str], str]
) -> Goods:
    """Everything over one database. `picture_path` says where a picture is, by its id."""
    teller = Teller(outbox=outbox, clock=clock, picture_path=picture_path)
    return Goods(
        teller=teller,
        catalogue=Catalogue(engine=engine, clock=clock, teller=teller),
        shelf=ShowShelf(engine=engine, clock=clock, teller=teller),
        sales=Sales(engine=engine, clock=clock, teller=teller, jobs=jobs),
    )
