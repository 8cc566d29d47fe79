"""Trying again where two transactions stood in each other's way: a deadlock, a lock that was waited for in vain.

The one that the database gave up left nothing behind, so it is simply made anew, a few times and not at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.errors import UnavailableError

T = TypeVar("T")
TRIES: Final = 5
_PAUSE_S: Final = 0.01


def is_busy(error: UnavailableError) -> bool:
    """Whether it was another transaction, and not the database that is away."""
    return error.code == "database_busy"


async def pause(attempt: int) -> None:
    """Before the try after `attempt` (0, 1, 2 …): longer each time, and never the same for two who met."""
    await asyncio.sleep(_PAUSE_S * (attempt + random.random()))  # noqa: S311 - not a secret


async def when_free(transaction: Callable[[], Awaitable[T]]) -> T:
    """What `transaction` gives. Raises what it raises, also where it stays busy. Cancel-safe: as it is."""
    for attempt in range(TRIES - 1):
        try:
            return await transaction()
        except UnavailableError as error:
            if not is_busy(error):
                raise
        await pause(attempt)
    return await transaction()


async def in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What `work` returns, committed. It is given a connection and may be called several times.

    Raises what `work` does, and UnavailableError. Cancel-safe: whole or not at all.
    """

    async def transaction() -> T:
        async with engine.begin() as connection:
            return await work(connection)

    return await when_free(transaction)
