"""What orders and payments need of the rest of the shop and of the node. The composition root joins them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection


class Facts(Protocol):
    """The outbox: `streamd.shop.outbox.Outbox`."""

    async def add_all(
        self, connection: AsyncConnection, *, event: str, facts: Sequence[tuple[str, Mapping[str, object]]]
    ) -> None:
        """Several of one kind, each with its room, within the caller's transaction."""
        ...

    def wake(self) -> None:
        """After the commit. Never blocks."""
        ...


class GoodsNews(Protocol):
    """Says how goods stand: `streamd.shop.telling.Teller`."""

    async def tell_products(self, connection: AsyncConnection, product_ids: Iterable[int]) -> None:
        """To every room that lists one of these; last in the caller's transaction."""
        ...


class Later(Protocol):
    """Work for later: `streamd.jobs.worker.Jobs`."""

    async def add(
        self,
        connection: AsyncConnection,
        *,
        kind: str,
        subject: str,
        payload: Mapping[str, object],
        due_at_ms: int,
    ) -> None:
        """Within the caller's transaction. A kind and a subject are one job."""
        ...

    async def add_new(self, connection: AsyncConnection, *, kind: str, due_at_ms: Mapping[str, int]) -> None:
        """The same for several subjects that this kind never had before."""
        ...

    def wake(self) -> None:
        """After the commit. Never blocks."""
        ...


class Quote(Protocol):
    """What one of a SKU costs now, and what it is."""

    @property
    def product_id(self) -> int: ...
    @property
    def title(self) -> str: ...
    @property
    def sku_name(self) -> str: ...
    @property
    def unit_price_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def sale_id(self) -> int | None: ...
    @property
    def is_offered(self) -> bool: ...
    @property
    def status(self) -> str: ...


class Quoting(Protocol):
    """The price is the server's, read within the order's own transaction: `streamd.shop.quotes`."""

    async def __call__(self, connection: AsyncConnection, sku_ids: Collection[int], now_ms: int) -> Mapping[int, Quote]:
        """Of those that exist, by SKU."""
        ...


class Sealer(Protocol):
    """Personal data at rest: `streamd.accounts.vault.Vault`."""

    def seal_text(self, text: str, *, place: str) -> str:
        """What may be stored at `place`."""
        ...

    def open_text(self, sealed: str, *, place: str) -> str:
        """What was sealed there. Raises SettingsError."""
        ...
