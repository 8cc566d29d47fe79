"""Orders and payments of a node, joined: a part of the composition root.

Without a gateway orders are placed all the same, and whoever wants to pay is told that nothing can be paid here.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import Metric

from streamd.accounts.opening import Accounts
from streamd.api.mounting import Area
from streamd.api.orders import OrdersApi
from streamd.api.payments import PaymentsApi
from streamd.clock import Clock
from streamd.db.engine import Database
from streamd.gateways.sandbox import SandboxGateway, SandboxSettings
from streamd.jobs.worker import Jobs
from streamd.settings import Settings
from streamd.shop.daily import EVERY_MS, KIND, DailyReconciliation
from streamd.shop.gateway import PaymentGateway
from streamd.shop.order_ports import Facts, GoodsNews
from streamd.shop.orders import EXPIRE, Orders
from streamd.shop.payments import QUERY, Payments, PaymentSettings
from streamd.shop.placing import Placing
from streamd.shop.quotes import quotes
from streamd.shop.reconciliation import Reconciler
from streamd.shop.refunds import REFUND, Refunds
from streamd.shop.shipping import ShippingBook
from streamd.shop.till import Till
from streamd.telemetry.log import get_log


@dataclass(frozen=True, slots=True, kw_only=True)
class SellingSettings:
    """What of the settings concerns orders and payments."""

    order_expiry_ms: int
    payment: PaymentSettings
    sandbox: SandboxSettings | None  # None: nothing can be paid

    @classmethod
    def of(cls, settings: Settings, *, sandbox_key: bytes) -> SellingSettings:
        """`sandbox_key` is for the gateway that this node starts itself."""
        given = settings.payment
        key = given.key.get_secret_value().encode() or sandbox_key
        url = settings.payment_url
        origin = settings.public_origin
        return cls(
            order_expiry_ms=settings.shop.order_expiry_ms,
            payment=PaymentSettings(notify_origin=given.notify_url or origin, return_origin=origin),
            sandbox=SandboxSettings(url=url, key=key) if url else None,
        )


class Selling:
    """See the module's promise."""

    def __init__(
        self,
        *,
        engine: Database,
        clock: Clock,
        accounts: Accounts,
        facts: Facts,
        news: GoodsNews,
        jobs: Jobs,
        settings: SellingSettings,
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self.orders = Orders(engine=engine, clock=clock, facts=facts, news=news)
        placing = Placing(quoting=quotes, facts=facts, news=news, later=jobs, expiry_ms=settings.order_expiry_ms)
        log = get_log("shop")
        self.till = Till(engine=engine, clock=clock, placing=placing, facts=facts, later=jobs, log=log)
        self._sandbox = SandboxGateway(settings=settings.sandbox, clock=clock) if settings.sandbox else None
        gateways: dict[str, PaymentGateway] = {"sandbox": self._sandbox} if self._sandbox else {}
        self.refunds = Refunds(
            engine=engine,
            clock=clock,
            gateways=gateways,
            notify_origin=settings.payment.notify_origin,
            facts=facts,
            news=news,
            later=jobs,
            log=log,
        )
        self.payments = Payments(
            engine=engine,
            clock=clock,
            gateways=gateways,
            refunds=self.refunds,
            later=jobs,
            settings=settings.payment,
            log=log,
        )
        self.reconciler = Reconciler(engine=engine, gateways=gateways)
        jobs.handle(EXPIRE, self._expire)
        jobs.handle(QUERY, self.payments.look)
        jobs.handle(REFUND, self.refunds.send)
        self._daily = DailyReconciliation(books=self.reconciler, gateways=tuple(gateways), clock=clock, log=log)
        jobs.every(EVERY_MS, KIND, self._daily)

    async def _expire(self, subject: str, payload: Mapping[str, object]) -> None:  # noqa: ARG002 - a handler's shape
        await self.payments.look_before_expiry(subject)
        await self.orders.expire(subject)

    def areas(self) -> list[Area]:
        """What it adds to the API."""
        return [
            OrdersApi(
                counter=self.till,
                orders=self.orders,
                refunds=self.refunds,
                shipping=ShippingBook(sealer=self._accounts.vault),
                roles=self._accounts.identities,
                recorder=self._accounts.audit,
                clock=self._clock,
            ),
            PaymentsApi(payments=self.payments, reconciler=self.reconciler),
        ]

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the node does."""
        return [self.till.run()]

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        yield from self.till.collect()
        yield from self.payments.collect()
        yield from self._daily.collect()

    async def close(self) -> None:
        """Let go of connections."""
        if self._sandbox is not None:
            await self._sandbox.close()
