"""Child processes that never outlive their scenario: servers, encoders, and our own generators.

Each runs in a process group of its own, writes to a log that is shown when it fails, and is ended with SIGTERM, then
SIGKILL. A child dies with us even when we are killed (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PR_SET_PDEATHSIG = 1
_ROOT = Path(__file__).parents[1]
_LIBC = ctypes.CDLL(None)


class ChildFailedError(RuntimeError):
    """A child ended or stayed silent when it should not have; the message holds the end of its log."""


class Child:
    """One running process. A context manager: leaving it ends the process."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> None:
        """`talks`: standard input and output are pipes (see `Generator`); else both outputs go to `log`.

        The child runs in the log's folder and finds our packages, so no settings file of ours is picked up by chance.
        """
        self.name = name
        self._log_path = log
        with log.open("ab") as sink:
            self.popen = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else sink,
                stderr=sink,
                cwd=log.parent,
                env={**os.environ, "PYTHONPATH": str(_ROOT), **(env or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent,  # no threads here
                text=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def check(self) -> None:
        """Raise ChildFailedError when it is no longer running."""
        if self.popen.poll() is not None:
            raise ChildFailedError(f"{self.name} ended with {self.popen.returncode}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 15) -> str:
        """The last lines it wrote."""
        text = self._log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, *, patience_s: float = 5.0) -> None:
        """SIGTERM, then SIGKILL to the whole group. Idempotent."""
        if self.popen.poll() is None:
            self.popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(patience_s)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Generator(Child):
    """One of our own generator processes: `python -m loadtest.<module> '<job as JSON>'`.

    It prints one line of JSON when everybody is connected, works until its standard input closes, and prints its
    totals as one more line. Most also answer a line on standard input with what they have counted until then.
    """

    def __init__(self, module: str, job: Mapping[str, object], *, log: Path) -> None:
        argv = [sys.executable, "-m", f"loadtest.{module}", json.dumps(job)]
        super().__init__(f"loadtest.{module}", argv, log=log, talks=True)
        self._is_ready = False

    def wait_ready(self) -> dict[str, Any]:
        """Block until everybody is connected. Raises ChildFailedError when that did not happen."""
        said = self._line()
        self._is_ready = True
        return said

    def is_ready(self) -> bool:
        """Whether `wait_ready` would return, or fail, at once."""
        assert self.popen.stdout is not None
        return self._is_ready or bool(select.select([self.popen.stdout.fileno()], [], [], 0)[0])

    def ask(self) -> dict[str, Any]:
        """What it has counted until now."""
        assert self.popen.stdin is not None
        with suppress(BrokenPipeError):
            self.popen.stdin.write("count\n")
            self.popen.stdin.flush()
        return self._line()

    def finish(self) -> dict[str, Any]:
        """Ask for the end and return the totals."""
        assert self.popen.stdin is not None
        with suppress(BrokenPipeError):
            self.popen.stdin.close()
        totals = self._line()
        self.popen.wait(10)
        return totals

    def stop(self, *, patience_s: float = 5.0) -> None:
        super().stop(patience_s=patience_s)
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _line(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            self.popen.wait()
            raise ChildFailedError(f"{self.name} ended with {self.popen.returncode}:\n{self.log_tail()}")
        said: dict[str, Any] = json.loads(line)
        return said


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_for_port(port: int, child: Child, *, within_s: float = 30.0, host: str = "127.0.0.1") -> None:
    """Return when something accepts on the port. Raises ChildFailedError when the child ends or takes too long."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        child.check()
        with suppress(OSError), socket.create_connection((host, port), timeout=0.5):
            return
        time.sleep(0.05)
    raise ChildFailedError(f"{child.name} does not listen on port {port} after {within_s:.0f} s:\n{child.log_tail()}")


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
