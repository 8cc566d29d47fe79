"""What the shop forgets in time: facts that were told, and the words of payment notices.

Orders, payments, refunds and their steps are not forgotten: the law wants transactions kept for three years at least,
and nothing here deletes them.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.shop_tables import outbox, payment_notices
from streamd.db.small_steps import blank_step, delete_step


class Forgetting:
    """Steps for `streamd.jobs.retention`. Coroutines raise UnavailableError and are cancel-safe."""

    def __init__(self, *, engine: AsyncEngine) -> None:
        self._engine = engine
        self._blank_until_ms = 0  # older ones are blank

    async def told_facts(self, before_ms: int) -> bool:
        """Facts that rooms were told before then."""
        old = (outbox.c.told_at_ms > 0) & (outbox.c.told_at_ms < before_ms)
        return await delete_step(self._engine, outbox, old)

    async def notice_bodies(self, before_ms: int) -> bool:
        """What gateways wrote word for word; that they wrote, and what came of it, stays."""
        received_ms = payment_notices.c.received_at_ms
        old = (received_ms >= self._blank_until_ms) & (received_ms < before_ms) & (payment_notices.c.body != "")
        has_more = await blank_step(self._engine, payment_notices, old, {"body": ""})
        if not has_more:
            self._blank_until_ms = before_ms
        return has_more
