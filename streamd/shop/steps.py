"""The one way an order changes its state: a statement that changes it from the state it is expected in, and a line in
its history. Whoever is second changes nothing, and is told how it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.db.shop_tables import order_steps, orders
from streamd.shop.states import illegal

REASON_LIMIT: Final = 200


async def step(
    connection: AsyncConnection,
    order_id: int,
    *,
    frm: str,
    to: str,
    at_ms: int,
    actor: str,
    reason: str = "",
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Whether it was still `frm` and is now `to`. `values` are set with it."""
    change = update(orders).where(orders.c.id == order_id, orders.c.status == frm)
    new = {"status": to, "changed_at_ms": at_ms, **(values or {})}
    if not (await connection.execute(change.values(new))).rowcount:
        return False
    line = {"order_id": order_id, "status": to, "at_ms": at_ms, "actor": actor, "reason": reason[:REASON_LIMIT]}
    await connection.execute(insert(order_steps).values(line))
    return True


async def must_step(
    connection: AsyncConnection, order_id: int, *, frm: str, to: str, at_ms: int, actor: str, **more: Any
) -> None:
    """As `step`. Raises ConflictError that says how the order stands where another one was quicker."""
    if not await step(connection, order_id, frm=frm, to=to, at_ms=at_ms, actor=actor, **more):
        raise illegal(await status_of(connection, order_id), to)


async def status_of(connection: AsyncConnection, order_id: int) -> str:
    """How an order stands, within the caller's transaction."""
    return str(await connection.scalar(select(orders.c.status).where(orders.c.id == order_id)))
