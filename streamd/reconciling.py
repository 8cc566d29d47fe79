"""`streamd reconcile`: a day's report for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.clock import SystemClock
from streamd.db.engine import open_engine
from streamd.gateways.sandbox import SandboxGateway, SandboxSettings
from streamd.settings import Settings
from streamd.shop.reconciliation import Reconciler, Reconciliation


async def reconcile_day(settings: Settings, *, gateway: str, day: str, key: bytes) -> Reconciliation:
    """Raises NotFoundError (the gateway), InvalidError, UnavailableError. Cancel-safe: yes."""
    # Where nothing is set it can only be the demo's, which its node starts by itself.
    url = settings.payment_url or settings.sandbox_origin
    engine = open_engine(settings.database)
    sandbox = SandboxGateway(settings=SandboxSettings(url=url, key=key), clock=SystemClock())
    try:
        return await Reconciler(engine=engine, gateways={sandbox.name: sandbox}).report(gateway, day)
    finally:
        await sandbox.close()
        await engine.dispose()


def report_lines(report: Reconciliation) -> Iterator[str]:
    """As a table."""
    yield f"{report.gateway} {report.day}"
    yield f"{'ours':<8}{report.ours_count:>8} lines{report.ours_minor:>16} minor units"
    yield f"{'theirs':<8}{report.theirs_count:>8} lines{report.theirs_minor:>16} minor units"
    if not report.differences:
        yield "no difference"
    for one in report.differences:
        yield ""
        yield f"{one.kind}  {one.subject} {one.reference}  order {one.order or '(none)'}"
        yield f"  ours {_amount(one.ours_minor)}, theirs {_amount(one.theirs_minor)}"
        yield f"  {one.fix}"


def _amount(minor: int | None) -> str:
    return "nothing" if minor is None else str(minor)
