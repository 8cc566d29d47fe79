"""The daily look at the books: every gateway's last two whole days against ours, by a recurring job.

Two days, for a gateway's bill of a day is not always complete by the next. Differences are named in the log, one line
each, and counted; nothing is changed: a person decides, with `streamd reconcile` or the API at hand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric

from streamd.clock import Clock
from streamd.shop.reconciliation import Reconciliation
from streamd.telemetry.log import Log

KIND: Final = "reconciliation"
EVERY_MS: Final = 24 * 3_600_000
_DAYS_COUNT: Final = 2


class Books(Protocol):
    """What compares a day: `streamd.shop.reconciliation.Reconciler`."""

    async def report(self, gateway: str, day: str) -> Reconciliation:
        """Raises UnavailableError."""
        ...


class DailyReconciliation:
    """The handler."""

    def __init__(self, *, books: Books, gateways: Collection[str], clock: Clock, log: Log) -> None:
        self._books = books
        self._gateways = gateways
        self._clock = clock
        self._log = log
        self._differences = 0

    async def __call__(self, subject: str, payload: Mapping[str, object]) -> None:  # noqa: ARG002 - a handler's shape
        """Raises UnavailableError. Cancel-safe: yes."""
        today = datetime.fromtimestamp(self._clock.utc_ms() / 1_000, UTC)
        days = [(today - timedelta(days=back)).strftime("%Y-%m-%d") for back in range(_DAYS_COUNT, 0, -1)]
        reports = [await self._books.report(gateway, day) for gateway in sorted(self._gateways) for day in days]
        for report in reports:
            self._tell(report)
        self._differences = sum(len(report.differences) for report in reports)

    def _tell(self, report: Reconciliation) -> None:
        self._log.info(
            "shop.reconciled",
            gateway=report.gateway,
            day=report.day,
            ours_count=report.ours_count,
            theirs_count=report.theirs_count,
            differences=len(report.differences),
        )
        for one in report.differences:
            self._log.error(
                "shop.difference",
                gateway=report.gateway,
                day=report.day,
                kind=one.kind,
                subject=one.subject,
                reference=one.reference,
                order=one.order,
                fix=one.fix,
            )

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        text = "Differences between our books and the gateways', of the latest look"
        yield GaugeMetricFamily("streamd_payment_differences", text, value=self._differences)
