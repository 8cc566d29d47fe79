"""Rates: the generic cell rate algorithm, over a bounded table of arrival times in this process, or over Redis for all.

Several limits are charged together or not at all. When the table is full the least lately charged entry is forgotten,
which can only be generous. With Redis, what changes something is counted for all processes together; reading is counted
by each for itself, because a round trip costs more than what it would guard. While Redis is away each counts alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from streamd.clock import Clock
from streamd.cluster.bus import Limit, gcra
from streamd.errors import UnavailableError

TABLE_LIMIT_COUNT = 100_000
LOCAL_PREFIX = "read:"


class Rate(Protocol):
    """A limit as its owner names it."""

    @property
    def name(self) -> str: ...
    @property
    def interval_ms(self) -> int: ...
    @property
    def burst(self) -> int: ...


class InProcessRates:
    """Counts for this process."""

    def __init__(self, *, clock: Clock, limit_count: int = TABLE_LIMIT_COUNT) -> None:
        self._clock = clock
        self._limit_count = limit_count
        self._arrivals: OrderedDict[str, int] = OrderedDict()

    async def charge(self, rates: Sequence[Rate]) -> int:
        """0 when all allow it (and are charged), else milliseconds to wait. Cancel-safe: yes, it never waits."""
        now_ms = self._clock.now_ms()
        charged: dict[str, int] = {}
        for rate in rates:
            limit = Limit(rate.name, rate.interval_ms, rate.burst)
            charged[rate.name], wait_ms = gcra(self._arrivals.get(rate.name, 0), now_ms, limit)
            if wait_ms:
                return wait_ms
        for name, arrival_ms in charged.items():
            self._arrivals[name] = arrival_ms
            self._arrivals.move_to_end(name)
        while len(self._arrivals) > self._limit_count:
            self._arrivals.popitem(last=False)
        return 0


class Charging(Protocol):
    """Counts for all processes: `streamd.cluster.redis.RedisBus`."""

    async def charge(self, limits: Sequence[Limit]) -> int:
        """0 when all allow it (and are charged), else milliseconds to wait. Raises UnavailableError."""
        ...


class SharedRates:
    """See the module's promise."""

    def __init__(self, *, clock: Clock, shared: Charging) -> None:
        self._local = InProcessRates(clock=clock)
        self._shared = shared

    async def charge(self, rates: Sequence[Rate]) -> int:
        """As `InProcessRates.charge`. Cancel-safe: they may have been charged."""
        if all(rate.name.startswith(LOCAL_PREFIX) for rate in rates):
            return await self._local.charge(rates)
        try:
            return await self._shared.charge([Limit(rate.name, rate.interval_ms, rate.burst) for rate in rates])
        except UnavailableError:
            return await self._local.charge(rates)
