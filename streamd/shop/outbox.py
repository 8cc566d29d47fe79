"""Facts that must reach a room: written in the transaction that makes them true, told afterwards, at least once.

In: `add`, within the caller's transaction and after the rows that the fact is about were changed (their locks put the
numbers of facts and the commits in the same order). Out, by `run`: every fact to its room, in the order of the numbers.
One process at a time tells, by a lease that it holds for one round, so that processes that share the database tell in
turn and never past each other. A fact is marked when it was told; a process that dies in between leaves it to be told
again, and `event_id` in every payload lets who hears it twice notice.

Not here: what deletes the told ones (`streamd.jobs.retention`).
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.db.shop_tables import leases, outbox
from streamd.errors import InvalidError, NotFoundError, StreamdError
from streamd.telemetry.log import Log

_LEASE: Final = "outbox"
_BATCH: Final = 200
# What telling may take in one round; a process that stood still for longer than the lease has lost its turn.
_ROUND_S: Final = 3.0
_LEASE_MS: Final = 6_000
# Another process tells just now; what it leaves is ours.
_TURN_S: Final = 0.02
# Facts of processes that died: those of the living call `wake`. A look costs 1.5 ms, also where nothing happens.
_LOOK_S: Final = 5.0
_PATIENCE_S: Final = 0.5
# Events that say how something stands: several in one tick are told as one, later fields over earlier ones.
_STATES: Final = frozenset({"product", "shelf"})


class RoomTeller(Protocol):
    """What tells a room something: `danmaku.gateway.RoomGateway`."""

    async def publish(self, room: str, event: str, payload: Mapping[str, object], *, key: str = "") -> int:
        """In the order of the calls. Raises NotFoundError, InvalidError, UnavailableError."""
        ...


class Outbox:
    """See the module's promise."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, rooms: RoomTeller, log: Log) -> None:
        self._engine = engine
        self._clock = clock
        self._rooms = rooms
        self._log = log
        self._me = secrets.token_hex(16)
        self._news = asyncio.Event()
        self._told = 0
        self._refused = 0
        self._failures = 0
        self._late_ms = 0

    async def add(self, connection: AsyncConnection, *, room: str, event: str, payload: Mapping[str, object]) -> None:
        """Write a fact with what makes it true. Call `wake` once that is committed."""
        row = {"room": room, "event": event, "payload": json.dumps(payload), "at_ms": self._clock.utc_ms()}
        await connection.execute(insert(outbox).values(row))

    async def add_all(
        self, connection: AsyncConnection, *, event: str, facts: Sequence[tuple[str, Mapping[str, object]]]
    ) -> None:
        """The same for several facts of one kind, each with its room, in one statement."""
        now_ms = self._clock.utc_ms()
        rows = [
            {"room": room, "event": event, "payload": json.dumps(payload), "at_ms": now_ms} for room, payload in facts
        ]
        if rows:
            await connection.execute(insert(outbox), rows)

    def wake(self) -> None:
        """Something was committed. Never blocks."""
        self._news.set()

    async def run(self) -> None:
        """Tell, for ever. Cancel-safe: yes; what was under way is told again by whoever comes next."""
        while True:
            try:
                wait_s = await self.tell_round()
            except (StreamdError, SQLAlchemyError, OSError) as error:
                self._failures += 1
                self._log.warning("outbox.round_failed", reason=str(error))
                wait_s = _PATIENCE_S
            except Exception:
                # A fault of ours in one fact must not leave all rooms in the dark.
                self._failures += 1
                self._log.exception("outbox.round_failed")
                wait_s = _PATIENCE_S
            if wait_s == _TURN_S:
                await asyncio.sleep(wait_s)
            elif wait_s:
                await self._news_within(wait_s)

    async def _news_within(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def tell_round(self) -> float:
        """Tell what there is, up to some hundreds; how long to wait before the next round.

        Raises UnavailableError, SQLAlchemyError. Cancel-safe: yes.
        """
        self._news.clear()
        if not await self._has_untold():
            return _LOOK_S
        facts = await self._claim()
        if facts is None:
            return _TURN_S
        told = await self._tell(facts)
        await self._settle(told)
        return 0.0 if len(told) == len(facts) else _PATIENCE_S

    async def _has_untold(self) -> bool:
        query = select(outbox.c.id).where(outbox.c.told_at_ms == 0).limit(1)
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).first() is not None

    async def _claim(self) -> Sequence[Row[Any]] | None:
        """The oldest untold facts, with the right to tell them; None while another process has it."""
        now_ms = self._clock.utc_ms()
        free = (leases.c.until_ms <= now_ms) | (leases.c.holder == self._me)
        take = update(leases).where(leases.c.name == _LEASE, free).values(holder=self._me, until_ms=now_ms + _LEASE_MS)
        async with self._engine.begin() as connection:
            if not (await connection.execute(take)).rowcount:
                if (await connection.execute(select(leases.c.name).where(leases.c.name == _LEASE))).first() is None:
                    await self._make_lease(connection)
                return None
            query = select(outbox).where(outbox.c.told_at_ms == 0).order_by(outbox.c.id).limit(_BATCH)
            return (await connection.execute(query)).all()

    async def _make_lease(self, connection: AsyncConnection) -> None:
        try:
            await connection.execute(insert(leases).values(name=_LEASE, holder="", until_ms=0))
        except IntegrityError:
            return  # somebody else made it just now

    async def _tell(self, facts: Sequence[Row[Any]]) -> list[int]:
        """Numbers of those that are done with: told, or never to be told. In every room without a hole."""
        by_room: dict[str, list[Row[Any]]] = {}
        for fact in facts:
            by_room.setdefault(fact.room, []).append(fact)
        until_s = asyncio.get_running_loop().time() + _ROUND_S
        async with asyncio.TaskGroup() as group:
            rooms = [group.create_task(self._tell_room(each, until_s)) for each in by_room.values()]
        return [number for room in rooms for number in room.result()]

    async def _tell_room(self, facts: Sequence[Row[Any]], until_s: float) -> list[int]:
        """All at once, so that they share a tick of the room; tasks begin in the order they were made."""
        done: list[int] = []
        # The first one opens the room where it is not open, and the others do not overtake it.
        if await self._tell_one(facts[0], until_s):
            done.append(facts[0].id)
            async with asyncio.TaskGroup() as group:
                rest = [group.create_task(self._tell_one(fact, until_s)) for fact in facts[1:]]
            for fact, task in zip(facts[1:], rest, strict=True):
                if not task.result():
                    break
                done.append(fact.id)
        return done

    async def _tell_one(self, fact: Row[Any], until_s: float) -> bool:
        """Whether it is done with."""
        payload = {"event_id": fact.id, **json.loads(fact.payload)}
        key = f"{fact.event}:{payload.get('id', '')}" if fact.event in _STATES else ""
        try:
            async with asyncio.timeout_at(until_s):
                await self._rooms.publish(fact.room, fact.event, payload, key=key)
        except (NotFoundError, InvalidError) as error:
            self._refused += 1
            self._log.error("outbox.refused", fact=fact.id, room=fact.room, name=fact.event, code=error.code)
            return True
        except (StreamdError, TimeoutError) as error:
            self._failures += 1
            self._log.warning("outbox.not_told", fact=fact.id, room=fact.room, reason=str(error))
            return False
        self._told += 1
        self._late_ms = self._clock.utc_ms() - fact.at_ms
        return True

    async def _settle(self, told: Sequence[int]) -> None:
        """Mark them, and let another process have its turn."""
        async with self._engine.begin() as connection:
            if told:
                mark = update(outbox).where(outbox.c.id.in_(told)).values(told_at_ms=self._clock.utc_ms())
                await connection.execute(mark)
            mine = (leases.c.name == _LEASE) & (leases.c.holder == self._me)
            await connection.execute(update(leases).where(mine).values(until_ms=0))

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        yield CounterMetricFamily("streamd_outbox_told", "Facts that rooms were told", value=self._told)
        yield CounterMetricFamily("streamd_outbox_refused", "Facts that no room would take", value=self._refused)
        yield CounterMetricFamily("streamd_outbox_failures", "Tries that will be repeated", value=self._failures)
        late = "Between the fact and its telling, of the latest"
        yield GaugeMetricFamily("streamd_outbox_late_seconds", late, value=self._late_ms / 1_000)
