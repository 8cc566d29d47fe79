"""What every scenario stands on: a temporary folder, progress for people, and an orderly end of everything started."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from loadtest.machine import cpu_ms, family
from loadtest.meter import Meter
from loadtest.peers import MediaServer
from loadtest.processes import Child, Generator

_S = TypeVar("_S", bound=MediaServer)
_MEMORY_DISK = Path("/dev/shm")


class Stage:
    """The servers and generators of one run. Made by `open_stage`, which ends all of them."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self.folder = folder
        self._ending = ending
        self._generators = 0
        self.meter = Meter()  # of everything that is started here

    def server(self, server: _S) -> _S:
        """Take over a started server: it is stopped with the stage."""
        self._ending.callback(server.stop)
        self.meter.watch(server.name, server.pids)
        return server

    def ends_with(self, stop: Callable[[], object]) -> None:
        """Something else that was started: `stop` is called at the end, the latest first."""
        self._ending.callback(stop)

    def child(self, name: str, argv: Sequence[str]) -> Child:
        """A process that ends with the stage."""
        child = self._ending.enter_context(Child(name, argv, log=self.folder / f"{name}.log"))
        self.meter.watch(name.rstrip("-0123456789"), lambda: family(child.pid))
        return child

    def generator(self, module: str, job: Mapping[str, object], *, wait: bool = True) -> Generator:
        """One of our generator processes, ready; without `wait` it may still be connecting."""
        self._generators += 1
        log = self.folder / f"{module}-{self._generators}.log"
        generator = Generator(module, job, log=log)
        self._ending.enter_context(generator)
        self.meter.watch(module, lambda: [generator.pid])
        if wait:
            generator.wait_ready()
        return generator

    def say(self, text: str) -> None:
        """Progress, on standard error, when somebody watches."""
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def wait(self, seconds: float, what: str) -> float:
        """Let the load run; returns the seconds that really passed."""
        started = time.monotonic()
        while (left := started + seconds - time.monotonic()) > 0:
            self.say(f"{what}: {left:.0f} s")
            time.sleep(min(1.0, left))
            self.meter.read()
        self.say("")
        return time.monotonic() - started

    def cpu_of(self, groups: Mapping[str, Sequence[int]], seconds: float, what: str) -> dict[str, float]:
        """CPU milliseconds a second of each group of processes, over one window that all share."""
        before = {name: cpu_ms(pids) for name, pids in groups.items()}
        passed = self.wait(seconds, what)
        return {name: (cpu_ms(pids) - before[name]) / passed for name, pids in groups.items()}


@contextmanager
def open_stage() -> Iterator[Stage]:
    """A stage in a temporary folder in memory (/dev/shm) where there is one, so that no disk is measured."""
    folder = Path(tempfile.mkdtemp(prefix="loadtest-", dir=_MEMORY_DISK if _MEMORY_DISK.is_dir() else None))
    try:
        with ExitStack() as ending:
            yield Stage(folder, ending)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
