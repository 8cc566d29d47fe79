"""The parent of a node's workers: starts them, restarts them, replaces them one by one, and ends them.

In: signals (SIGTERM and SIGINT stop, twice at once; SIGHUP reloads). Out: one child process a slot, each told its place
by `--worker NODE:SLOT` and tied to us by a socket as its standard input: it writes a line when it serves, and drains
when the socket closes, so that no worker outlives a parent that was killed.

- A worker that dies is started again, at once the first time, then with growing patience.
- A worker that dies again and again before it ever serves ends the node: a fault that a restart does not mend.
- A reload starts the successor first and drains its predecessor once it serves. Where a successor does not come up, the
  reload ends there and what serves goes on serving.

Not here: what a worker does (`streamd.process`), the ports, which the workers share by SO_REUSEPORT.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from streamd.errors import SettingsError, StreamdError
from streamd.telemetry.log import Log

READY = b"ready\n"
_GRACE_S = 2.0  # on top of what a worker has for its own farewell


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Which worker of which node a process is. `str` of it is what `parse` reads."""

    node: str
    slot: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises SettingsError."""
        node, _, slot = text.rpartition(":")
        if not (node.isalnum() and slot.isdecimal()):
            raise SettingsError(f"--worker {text!r} names no place", fix="leave it to the supervisor: use --workers N")
        return cls(node, int(slot))

    def __str__(self) -> str:
        return f"{self.node}:{self.slot}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """How many, and how patient."""

    workers: int
    shutdown_ms: int
    ready_ms: int = 60_000
    first_wait_ms: int = 100
    longest_wait_ms: int = 10_000
    settled_ms: int = 60_000  # a worker that served so long starts the waiting anew
    failed_starts: int = 4


class Supervisor:
    """See the module's promise. `command` gives the arguments of a worker; `on_ready` is called once all serve."""

    def __init__(
        self,
        *,
        command: Callable[[WorkerPlace], Sequence[str]],
        settings: SupervisorSettings,
        log: Log,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._command = command
        self._settings = settings
        self._log = log
        self._on_ready = on_ready
        self._node = secrets.token_hex(4)
        self._workers: dict[int, Worker] = {}
        self._leaving: set[Worker] = set()  # replaced, and not gone yet
        self._turns = [asyncio.Lock() for _ in range(settings.workers)]  # who starts something in a slot holds it
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Event()
        self._failure: StreamdError | None = None

    async def run(self) -> None:
        """Keep the workers until `stop`. Raises StreamdError when one cannot be started. Cancel-safe: yes."""
        try:
            async with asyncio.TaskGroup() as tasks:
                slots = range(self._settings.workers)
                first = [tasks.create_task(self._raise(slot)) for slot in slots]
                greeting = tasks.create_task(self._greet(first))
                reloader = tasks.create_task(self._reload_when_asked())
                keepers = [tasks.create_task(self._keep(slot, first[slot])) for slot in slots]
                await self._stopping.wait()
                at_work = (greeting, reloader, *first, *keepers)
                for task in at_work:
                    task.cancel()
                await asyncio.wait(at_work)  # whoever was just being started is known by now
                await self._end_all()
        finally:
            for worker in {*self._workers.values(), *self._leaving}:
                worker.kill()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Drain all. The second time: end them at once."""
        if self._stopping.is_set():
            for worker in {*self._workers.values(), *self._leaving}:
                worker.kill()
        self._stopping.set()

    def reload(self) -> None:
        """Replace all workers, one by one."""
        self._reloading.set()

    # --- inside ---

    async def _greet(self, first: Sequence[asyncio.Task[Worker | None]]) -> None:
        if all([await worker for worker in first]):
            self._log.info("supervisor.ready", workers=len(first), node=self._node)
            self._on_ready()

    async def _keep(self, slot: int, first: asyncio.Task[Worker | None]) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        worker = await first
        wait_ms, since_s = 0, loop.time()
        while worker is not None:
            code = await worker.ended()
            async with self._turns[slot]:
                if self._stopping.is_set():
                    return
                if self._workers[slot] is not worker:  # a reload was quicker
                    worker, since_s = self._workers[slot], loop.time()
                    continue
                self._log.warning("supervisor.worker_died", slot=slot, pid=worker.pid, code=code, again_in_ms=wait_ms)
                if loop.time() - since_s >= settings.settled_ms / 1_000:
                    wait_ms = 0
                await asyncio.sleep(wait_ms / 1_000)
                wait_ms = min(max(2 * wait_ms, settings.first_wait_ms), settings.longest_wait_ms)
                worker, since_s = await self._raise(slot), loop.time()

    async def _raise(self, slot: int) -> Worker | None:
        """A worker that serves; None when the node stops instead."""
        settings = self._settings
        wait_ms = settings.first_wait_ms
        code = 0
        for failures in range(1, settings.failed_starts + 1):
            if self._stopping.is_set():
                return None
            worker = self._workers[slot] = await self._spawn(slot)
            if await worker.serves(within_ms=settings.ready_ms):
                return worker
            worker.kill()
            code = await worker.ended()
            self._log.warning("supervisor.start_failed", slot=slot, code=code, failures=failures)
            await asyncio.sleep(wait_ms / 1_000)
            wait_ms = min(2 * wait_ms, settings.longest_wait_ms)
        self._failure = StreamdError(
            f"Worker {slot} ended {settings.failed_starts} times before it could serve",
            why=f"its last exit code was {code}",
            fix="mend what its own lines above complain of; `streamd check-config` finds most of it",
            code="worker_failed",
        )
        self._stopping.set()
        return None

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reloading.wait()
            self._reloading.clear()
            self._log.info("supervisor.reloading")
            outcome = all([await self._replace(slot) for slot in range(self._settings.workers)])
            self._log.info("supervisor.reloaded" if outcome else "supervisor.reload_ended")

    async def _replace(self, slot: int) -> bool:
        async with self._turns[slot]:
            predecessor = self._workers[slot]
            successor = await self._spawn(slot)
            try:
                serves = await successor.serves(within_ms=self._settings.ready_ms)
            except asyncio.CancelledError:
                self._leaving.add(successor)
                raise
            if not serves:
                successor.kill()
                self._log.error("supervisor.successor_failed", slot=slot, code=await successor.ended())
                return False
            self._workers[slot] = successor
        await self._end(predecessor)
        return True

    async def _spawn(self, slot: int) -> Worker:
        return await Worker.start(self._command(WorkerPlace(self._node, slot)))

    async def _end_all(self) -> None:
        async with asyncio.TaskGroup() as leaving:
            for worker in {*self._workers.values(), *self._leaving}:
                leaving.create_task(self._end(worker))

    async def _end(self, worker: Worker) -> None:
        self._leaving.add(worker)
        worker.terminate()
        try:
            async with asyncio.timeout(self._settings.shutdown_ms / 1_000 + _GRACE_S):
                await worker.ended()
        except TimeoutError:
            self._log.warning("supervisor.worker_killed", pid=worker.pid)
            worker.kill()
            await worker.ended()
        self._leaving.discard(worker)


class Worker:
    """One child process."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._is_leaving = False

    @classmethod
    async def start(cls, argv: Sequence[str]) -> Self:
        """In a session of its own: Ctrl-C, which a terminal sends to all, is ours to pass on. Cancel-safe: yes."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(*argv, stdin=theirs.fileno(), start_new_session=True)
            except BaseException:
                writer.close()
                raise
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def serves(self, *, within_ms: int) -> bool:
        """Wait for its word; False when it ended or took too long. Cancel-safe: yes."""
        try:
            async with asyncio.timeout(within_ms / 1_000):
                return await self._reader.readline() == READY
        except (TimeoutError, ConnectionError):
            return False

    async def ended(self) -> int:
        """Its exit code, once it has one. Cancel-safe: yes."""
        code = await self._process.wait()
        self._writer.close()
        return code

    def terminate(self) -> None:
        """Ask it to drain, once: asked twice, it would not."""
        if not self._is_leaving:
            self._is_leaving = True
            with suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """End it. Harmless where it has ended."""
        with suppress(ProcessLookupError):
            self._process.kill()


def tell_serving() -> None:
    """In the worker: say through standard input, which is the supervisor's socket, that it serves."""
    with suppress(OSError):  # the supervisor is gone, which its closed socket says better
        os.write(0, READY)


async def supervise(supervisor: Supervisor) -> None:
    """Run it, with the process's signals."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    await supervisor.run()
