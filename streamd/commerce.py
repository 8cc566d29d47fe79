"""The shop of a node, joined: what is sold and paid for, what rooms hear of it, and what is done later.

The part of the composition root that concerns the shop; `streamd.app` makes one and gives its areas to the API.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from streamd.accounts.opening import Accounts
from streamd.api.addresses import picture_path
from streamd.api.jobs import JobsApi
from streamd.api.mounting import Area
from streamd.api.products import ProductsApi
from streamd.api.sales import SalesApi
from streamd.api.shelf import ShelfApi
from streamd.clock import Clock
from streamd.db.engine import Database
from streamd.jobs.desk import JobDesk
from streamd.jobs.retention import EVERY_MS, KIND
from streamd.jobs.worker import Jobs
from streamd.pictures.store import Pictures
from streamd.retaining import Old
from streamd.selling import Selling, SellingSettings
from streamd.shop.opening import Goods, open_goods
from streamd.shop.outbox import Outbox, RoomTeller
from streamd.shop.sales import END, START
from streamd.telemetry.log import get_log
from streamd.telemetry.metrics import Metrics


class Commerce:
    """See the module's promise."""

    def __init__(
        self,
        *,
        engine: Database,
        clock: Clock,
        accounts: Accounts,
        pictures: Pictures,
        teller: RoomTeller,
        metrics: Metrics,
        old: Old,
        settings: SellingSettings,
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._pictures = pictures
        self.outbox = Outbox(engine=engine, clock=clock, rooms=teller, log=get_log("outbox"))
        self.jobs = Jobs(engine=engine, clock=clock, log=get_log("jobs"))
        self.goods = open_goods(
            engine=engine, clock=clock, outbox=self.outbox, jobs=self.jobs, picture_path=picture_path
        )
        self.jobs.every(EVERY_MS, KIND, old.retention(engine=engine, clock=clock, answers=accounts.answers))
        self.jobs.handle(START, self.goods.sales.start_due)
        self.jobs.handle(END, self.goods.sales.end_due)
        self._desk = JobDesk(engine=engine, clock=clock, wake=self.jobs.wake)
        self.selling = Selling(
            engine=engine,
            clock=clock,
            accounts=accounts,
            facts=self.outbox,
            news=self.goods.teller,
            jobs=self.jobs,
            settings=settings,
        )
        for collect in (self.outbox.collect, self.jobs.collect, self.selling.collect):
            metrics.collect_from(collect)

    def areas(self) -> list[Area]:
        """What it adds to the API."""
        return [
            JobsApi(desk=self._desk),
            *goods_areas(self.goods, accounts=self._accounts, pictures=self._pictures, clock=self._clock),
            *self.selling.areas(),
        ]

    async def card(self, room: str) -> Mapping[str, object] | None:
        """What a room's host explains now, as the room is told; None while nothing is. Raises NotFoundError."""
        card = await self.goods.shelf.card(room)
        return card.payload() if card.product is not None else None

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the node does."""
        return [self.outbox.run(), self.jobs.run(), *self.selling.parts()]

    async def close(self) -> None:
        """Let go of what `parts` used, after they ended."""
        await self.selling.close()


def goods_areas(goods: Goods, *, accounts: Accounts, pictures: Pictures, clock: Clock) -> list[Area]:
    """The catalogue, the show's list and card, and flash sales, over HTTP."""
    return [
        ProductsApi(
            catalogue=goods.catalogue,
            teller=goods.teller,
            rooms=accounts.rooms,
            roles=accounts.identities,
            pictures=pictures,
            clock=clock,
        ),
        ShelfApi(shelf=goods.shelf, teller=goods.teller, clock=clock),
        SalesApi(sales=goods.sales, clock=clock),
    ]
