"""Where buyers stand in line: one transaction at a time in this process, with everybody who came meanwhile in the next.

A buyer alone is served at once; under load a transaction serves up to `batch_count` (see `placing` for why). The line
has a bound, and who comes after it is told to come back. A deadlock or a lock that was waited for in vain is tried
again a few times; a database that is away is told to everybody in that transaction, who may ask again with their keys.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.clock import Clock
from streamd.db.busy import TRIES, is_busy, pause
from streamd.errors import StreamdError, UnavailableError
from streamd.shop.order_ports import Facts, Later
from streamd.shop.orders import Order
from streamd.shop.placing import Outcome, Placing, Purchase
from streamd.shop.stock import StockMovedError
from streamd.telemetry.log import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class TillSettings:
    """How many in one transaction, and how many may wait."""

    batch_count: int = 64
    line_count: int = 2_000


class Till:
    """See the module's promise. `place` answers while `run` runs."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        clock: Clock,
        placing: Placing,
        facts: Facts,
        later: Later,
        log: Log,
        settings: TillSettings | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._placing = placing
        self._facts = facts
        self._later = later
        self._log = log
        self._settings = settings or TillSettings()
        self._line: deque[tuple[Purchase, asyncio.Future[Order]]] = deque()
        self._came = asyncio.Event()
        self._placed = 0
        self._refused = 0
        self._again = 0

    async def place(self, purchase: Purchase) -> Order:
        """The order. Raises NotFoundError, ConflictError (sold out, a limit, another price, the key of another order),
        UnavailableError.

        Cancel-safe: the order may still be placed; the same key then gives it.
        """
        if len(self._line) >= self._settings.line_count:
            raise UnavailableError(
                "too many orders at once", why="the line is full", fix="try again", code="orders_busy"
            )
        told: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        self._line.append((purchase, told))
        self._came.set()
        return await told

    async def run(self) -> None:
        """Serve, for ever. Cancel-safe: yes; who is in the line then is told to ask again."""
        try:
            while True:
                await self._came.wait()
                self._came.clear()
                while self._line:
                    size = min(len(self._line), self._settings.batch_count)
                    batch = [self._line.popleft() for _ in range(size)]
                    await self._serve([entry for entry in batch if not entry[1].done()])
        finally:
            while self._line:
                _tell(self._line.popleft()[1], _closed())

    async def _serve(self, batch: list[tuple[Purchase, asyncio.Future[Order]]]) -> None:
        outcomes: Sequence[Outcome] = [_closed()] * len(batch)
        try:
            if batch:
                outcomes = await self._outcomes([purchase for purchase, _ in batch])
        except Exception:
            # The border of one transaction: whatever our mistake was, it costs these their orders and nobody else.
            self._log.exception("orders.failed", count=len(batch))
            outcomes = [_broken("an unexpected error, written to the server's log")] * len(batch)
        finally:
            # Also when this is cancelled: nobody waits for ever.
            for (_, told), outcome in zip(batch, outcomes, strict=True):
                _tell(told, outcome)

    async def _outcomes(self, wanted: Sequence[Purchase]) -> Sequence[Outcome]:
        """One for each of `wanted`, in their order."""
        for attempt in range(TRIES):
            try:
                return await self._transaction(wanted)
            except (IntegrityError, StockMovedError) as error:
                # Somebody elsewhere was quicker. Alone, each finds out for itself; the second time it is known.
                if len(wanted) > 1:
                    return [outcome for one in wanted for outcome in await self._outcomes([one])]
                failure = UnavailableError("the order could not be placed just now", why=str(error), fix="try again")
            except UnavailableError as error:
                failure = error
                if not is_busy(error):
                    break
            except (SQLAlchemyError, StreamdError) as error:
                return [error if isinstance(error, StreamdError) else _broken(str(error))] * len(wanted)
            self._again += 1
            await pause(attempt)
        return [failure] * len(wanted)

    async def _transaction(self, wanted: Sequence[Purchase]) -> list[Outcome]:
        async with self._engine.begin() as connection:
            outcomes = await self._placing.place(connection, wanted, self._clock.utc_ms())
        count = sum(isinstance(outcome, Order) for outcome in outcomes)
        self._placed += count
        self._refused += len(outcomes) - count
        self._facts.wake()
        self._later.wake()
        return outcomes

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        yield CounterMetricFamily(
            "streamd_orders_placed", "Orders placed, with those asked for again", value=self._placed
        )
        yield CounterMetricFamily("streamd_orders_refused", "Orders refused", value=self._refused)
        yield CounterMetricFamily("streamd_orders_tried_again", "Transactions tried again", value=self._again)
        yield GaugeMetricFamily("streamd_orders_waiting", "Buyers in the line now", value=len(self._line))


def _tell(told: asyncio.Future[Order], outcome: Outcome) -> None:
    if told.done():
        return
    if isinstance(outcome, Order):
        told.set_result(outcome)
    else:
        told.set_exception(outcome)


def _closed() -> UnavailableError:
    return UnavailableError(
        "the order may or may not have been placed",
        why="this node is stopping",
        fix="ask again with the same Idempotency-Key",
        code="orders_stopped",
    )


def _broken(why: str) -> UnavailableError:
    return UnavailableError("the order could not be placed", why=why, fix="ask again with the same Idempotency-Key")
