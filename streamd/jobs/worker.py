"""Does the jobs that are due: several at once, none of them twice at a time, however many processes share the table.

In: `add`, within the caller's transaction; handlers by kind, given before `run`. A handler is given subject and payload
and must bear being run twice: a process may die behind the deed and before the note of it. What it raises decides what
follows (`streamd.jobs.patience`): another try later, or the dead letter, which an administrator sees, retries or drops.

Invariants: at most `limit` jobs run here; a lease is renewed while its job runs and the job is stopped when it is lost;
whoever cancels `run` waits at most `drain_ms` for what is running, and the rest is given back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.clock import Clock
from streamd.errors import StreamdError
from streamd.jobs.patience import pause_ms, reason
from streamd.jobs.shelf import LEASE_MS, JobShelf, Leased
from streamd.telemetry.log import Log

EVERY: Final = "every"  # the subject of what recurs
# Jobs of processes that died: those of the living call `wake`. A look costs 2 ms, also where nothing is due.
_LOOK_S: Final = 5.0
_RENEW_S: Final = LEASE_MS / 3_000
# A process that cannot write to the database cannot give back either; the leases run out.
_GIVE_BACK_S: Final = 0.5
_WORRYING: Final = 3  # failures in a row of what passes by itself, after which it is a warning


class Handler(Protocol):
    """What does the jobs of one kind. Raises UnavailableError or OSError for what passes by itself."""

    async def __call__(self, subject: str, payload: Mapping[str, object]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How much at once, and how long it may take."""

    limit: int = 8
    longest_s: float = 600.0  # of one job
    drain_ms: int = 1_500
    patience_s: float = 2.0  # with a database that cannot be asked


class Jobs:
    """See the module's promise."""

    def __init__(self, *, engine: AsyncEngine, clock: Clock, log: Log, settings: JobSettings | None = None) -> None:
        self._shelf = JobShelf(engine=engine, clock=clock)
        self._clock = clock
        self._log = log
        self._settings = settings or JobSettings()
        self._handlers: dict[str, Handler] = {}
        self._every_ms: dict[str, int] = {}
        self._running: dict[asyncio.Task[None], Leased] = {}
        self._news = asyncio.Event()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self.failures = 0

    def handle(self, kind: str, handler: Handler) -> None:
        """Who does jobs of `kind`. Call before `run`."""
        self._handlers[kind] = handler

    def every(self, interval_ms: int, kind: str, handler: Handler) -> None:
        """Do `kind` again and again, `interval_ms` between an end and the next beginning; on one node at a time."""
        self._every_ms[kind] = interval_ms
        self._handlers[kind] = handler

    async def add(
        self, connection: AsyncConnection, *, kind: str, subject: str, payload: Mapping[str, object], due_at_ms: int
    ) -> None:
        """Within the caller's transaction; call `wake` once that is committed.

        One of the same kind and subject that waits is replaced; one that is being done is done once more afterwards.
        """
        await self._shelf.put(connection, kind=kind, subject=subject, payload=payload, due_at_ms=due_at_ms)

    async def add_new(self, connection: AsyncConnection, *, kind: str, due_at_ms: Mapping[str, int]) -> None:
        """The same for several subjects that this kind never had before, in one statement. Raises IntegrityError."""
        await self._shelf.put_new(connection, kind=kind, due_at_ms=due_at_ms)

    def wake(self) -> None:
        """Something was committed. Never blocks."""
        self._news.set()

    # --- the work ---

    async def run(self) -> None:
        """Do what is due, for ever. Cancel-safe: yes, see the module's promise."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            try:
                await self._feed(group)
            finally:
                await self._drain()

    async def _feed(self, group: asyncio.TaskGroup) -> None:
        is_kept_up = False
        while True:
            try:
                if not is_kept_up:
                    await self._keep_up()
                    is_kept_up = True
                wait_s = await self._begin_due(group)
            except (StreamdError, SQLAlchemyError, OSError) as error:
                self._log.warning("jobs.look_failed", reason=str(error))
                self.failures += 1
                wait_s = self._settings.patience_s
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _keep_up(self) -> None:
        for kind, interval_ms in self._every_ms.items():
            await self._shelf.keep_up(kind=kind, subject=EVERY, every_ms=interval_ms)

    async def _begin_due(self, group: asyncio.TaskGroup) -> float:
        """Begin as many as there is room for; how long to wait before the next look."""
        self._news.clear()
        room = self._settings.limit - len(self._running)
        if room <= 0:
            return _LOOK_S  # whichever ends first calls
        taken, next_ms = await self._shelf.lease(tuple(self._handlers), limit=room)
        for job in taken:
            task = group.create_task(self._do(job))
            self._running[task] = job
            task.add_done_callback(self._ended)
        if next_ms is None:
            return _LOOK_S
        return min(_LOOK_S, max(0, next_ms - self._clock.utc_ms()) / 1_000)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._news.set()

    async def _do(self, job: Leased) -> None:
        """The one place that catches: a job's failure is the job's."""
        try:
            outcome = await self._attempt(job)
        except asyncio.CancelledError:
            self._outcomes[job.kind, "stopped"] += 1
            await self._give_back(job)
            raise
        except (StreamdError, SQLAlchemyError, OSError) as error:
            # Done or not, it could not be noted: the lease runs out and it is done again.
            outcome = "unnoted"
            self._log.warning("jobs.note_failed", kind=job.kind, subject=job.subject, reason=str(error))
        self._outcomes[job.kind, outcome] += 1

    async def _attempt(self, job: Leased) -> str:
        try:
            async with asyncio.timeout(self._settings.longest_s):
                await self._handlers[job.kind](job.subject, job.payload)
        except Exception as error:
            return await self._note_failure(job, error)
        recurs_ms = self._every_ms.get(job.kind) if job.subject == EVERY else None
        await self._shelf.finish(job, again_in_ms=recurs_ms)
        return "done"

    async def _renew(self) -> None:
        """Go on holding what runs; stop what is somebody else's by now (this process stood still for too long)."""
        while True:
            await asyncio.sleep(_RENEW_S)
            for task, job in list(self._running.items()):
                try:
                    is_ours = task.done() or await self._shelf.renew(job)
                except (StreamdError, SQLAlchemyError, OSError):
                    continue  # the next time is before the lease is over
                if not is_ours and not task.done():
                    self._log.warning("jobs.lease_lost", kind=job.kind, subject=job.subject)
                    task.cancel()

    async def _note_failure(self, job: Leased, error: Exception) -> str:
        said = reason(error)
        wait_ms = pause_ms(error, job.attempt)
        is_bug = not isinstance(error, StreamdError | OSError)
        passes = wait_ms is not None and job.attempt < _WORRYING  # what a job is for: nobody has to look
        tell = self._log.exception if is_bug else self._log.info if passes else self._log.warning
        tell("jobs.failed", kind=job.kind, subject=job.subject, attempt=job.attempt, retry_ms=wait_ms, reason=said)
        if wait_ms is None and job.subject == EVERY and job.kind in self._every_ms:
            wait_ms = self._every_ms[job.kind]  # what recurs has its next time, whatever became of this one
        if wait_ms is None:
            await self._shelf.bury(job, error=said)
            return "dead"
        await self._shelf.put_off(job, for_ms=wait_ms, error=said)
        return "put_off"

    # --- the end ---

    async def _drain(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=self._settings.drain_ms / 1_000)

    async def _give_back(self, job: Leased) -> None:
        try:
            async with asyncio.timeout(_GIVE_BACK_S):
                await self._shelf.give_back(job)
        except (StreamdError, SQLAlchemyError, OSError) as error:
            self._log.warning("jobs.not_given_back", kind=job.kind, subject=job.subject, reason=str(error))

    # --- what is exported ---

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        yield GaugeMetricFamily("streamd_jobs_running", "Jobs that run here now", value=len(self._running))
        looks = "Looks at the table that failed"
        yield CounterMetricFamily("streamd_jobs_look_failures", looks, value=self.failures)
        ended = CounterMetricFamily("streamd_jobs", "Tries that ended, by kind and outcome", labels=["kind", "outcome"])
        for (kind, outcome), count in sorted(self._outcomes.items()):
            ended.add_metric([kind, outcome], count)
        yield ended
