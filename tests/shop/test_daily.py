"""The daily look at the books."""

from __future__ import annotations

from streamd.shop.daily import DailyReconciliation
from streamd.shop.reconciliation import Difference, Reconciliation
from tests.live.stage import SilentLog
from tests.support.clock import FakeClock


class Books:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def report(self, gateway: str, day: str) -> Reconciliation:
        self.asked.append((gateway, day))
        lost = Difference(
            kind="missing_there",
            subject="payment",
            reference="P1",
            order="N1",
            ours_minor=1,
            theirs_minor=None,
            fix="hold the order",
        )
        differences = [lost] if day == "2027-01-14" else []
        return Reconciliation(
            gateway=gateway,
            day=day,
            ours_count=1,
            theirs_count=0,
            ours_minor=1,
            theirs_minor=0,
            differences=differences,
        )


class Log(SilentLog):
    """Keeps what is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[tuple[str, object, object]] = []

    def error(self, event: str, **fields: object) -> None:
        self.errors.append((event, fields["kind"], fields["reference"]))


async def test_last_two_whole_days_of_every_gateway_are_compared_and_differences_named() -> None:
    books, log = Books(), Log()
    daily = DailyReconciliation(books=books, gateways=("sandbox", "other"), clock=FakeClock(), log=log)
    await daily("every", {})
    # 1 800 000 000 is the morning of 15 January 2027.
    assert books.asked == [(name, day) for name in ("other", "sandbox") for day in ("2027-01-13", "2027-01-14")]
    assert log.errors == [("shop.difference", "missing_there", "P1")] * 2
    assert [sample.value for metric in daily.collect() for sample in metric.samples] == [2]
