"""Several nodes of one installation and what stands between them: Redis, a shared data folder, an encoder that does not
give up, and a viewer who moves on when a node is away.

Everything listens on loopback and ends with the stage. A node that was killed can be started again on its ports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from signal import Signals
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtest.hls_playlist import read_edge
from loadtest.machine import family
from loadtest.peers import open_rooms
from loadtest.processes import Child, free_ports, wait_for_port

_RETRY_S = 0.2


class Redis:
    """redis-server without persistence: what it knew is gone when it is started again."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1") -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is not installed: apt-get install redis-server")
        (self.port,) = free_ports(1)
        self._host = host
        self.url = f"redis://{host}:{self.port}/0"
        self._argv = [program, "--port", str(self.port), "--bind", host, "--save", "", "--appendonly", "no"]
        self._argv += ["--protected-mode", "no"]
        self._log = folder / "redis.log"
        self.start()

    def start(self) -> None:
        """Also again, after `stop`."""
        self._child = Child("redis", self._argv, log=self._log)
        wait_for_port(self.port, self._child, host=self._host)

    def stop(self) -> None:
        """As a crash."""
        self._child.popen.kill()
        self._child.stop()


class Node:
    """A `streamd serve` of one or more workers; nodes that are given the same `data` are one installation."""

    def __init__(
        self,
        folder: Path,
        *,
        data: Path,
        redis: Redis,
        rooms: Sequence[str] = (),
        workers: int = 1,
        settings: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        node_host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:
        """`prefix`: what comes before the command line, to run it in a network of its own."""
        folder.mkdir(parents=True)
        data.mkdir(exist_ok=True)
        if rooms:
            open_rooms(f"sqlite+aiosqlite:///{data}/streamd.db", rooms)
        self.name = folder.name
        self.rtmp_port, self.http_port = free_ports(2)
        self._host = host
        self.url = f"http://{host}:{self.http_port}"
        self.rtmp_url = f"rtmp://{host}:{self.rtmp_port}/live"
        self.log_path = folder / "streamd.log"
        self._argv = [*prefix, sys.executable, "-m", "streamd", "serve", "--workers", str(workers)]
        self._environment = {
            "STREAMD_DATA_DIR": str(data),
            "STREAMD_REDIS_URL": redis.url,
            "STREAMD_NODE_HOST": node_host,
            "STREAMD_HTTP_HOST": host,
            "STREAMD_HTTP_PORT": str(self.http_port),
            "STREAMD_RTMP_HOST": host,
            "STREAMD_RTMP_PORT": str(self.rtmp_port),
            "STREAMD_LOG_FORMAT": "json",
            **(settings or {}),
        }
        self._child: Child | None = None
        self.start()

    def start(self) -> None:
        """Start, and wait until it serves."""
        child = self._child = Child(self.name, self._argv, log=self.log_path, env=self._environment)
        wait_for_port(self.rtmp_port, child, within_s=60, host=self._host)
        wait_for_port(self.http_port, child, within_s=60, host=self._host)

    @property
    def child(self) -> Child:
        """The process, or the supervisor of several."""
        assert self._child is not None
        return self._child

    def pids(self) -> list[int]:
        """All its processes."""
        return family(self.child.pid)

    def send(self, number: Signals) -> None:
        """To the process that was started."""
        self.child.popen.send_signal(number)

    def send_all(self, number: Signals) -> None:
        """To all its processes."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """As a machine that loses its power: no farewell to anybody."""
        self.send_all(Signals.SIGKILL)
        self.child.popen.wait(10)

    def stop(self) -> None:
        """End it. Idempotent."""
        self.child.stop(patience_s=8)


class Encoder:
    """ffmpeg that pushes a clip in real time, and is started again towards the next address whenever it ends."""

    def __init__(self, urls: Sequence[str], clip: Path, *, retry_s: float = 0.3) -> None:
        self.urls = list(urls)
        self._clip = clip
        self._retry_s = retry_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self.starts_s: list[float] = []  # by the monotonic clock
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            argv = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(self._clip)]
            argv += ["-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", self.urls[0]]
            self.starts_s.append(time.monotonic())
            self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self._process.wait()
            self.urls.append(self.urls.pop(0))
            self._stopping.wait(self._retry_s)

    def next_start(self, after: Callable[[], object], *, seconds: float = 20) -> float:
        """When the encoder starts again because of what `after` does. Raises TimeoutError."""
        starts, deadline = len(self.starts_s), time.monotonic() + seconds
        after()
        while len(self.starts_s) == starts:
            if time.monotonic() > deadline:
                raise TimeoutError("the encoder did not start again: it was connected elsewhere")
            time.sleep(0.01)
        return self.starts_s[-1]

    def go_to(self, url: str, *, seconds: float = 20) -> None:
        """Break off until the connection is to `url`. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.urls[0] != url:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the encoder did not come to {url}")
            self.break_off()
            time.sleep(2 * self._retry_s)

    def break_off(self) -> None:
        """As a network that fails: no farewell, and another try."""
        assert self._process is not None
        self._process.kill()

    def stop(self) -> None:
        """End it for good."""
        self._stopping.set()
        while self._thread.is_alive():
            if self._process is not None:
                self._process.kill()
            self._thread.join(0.2)


class Arrival(NamedTuple):
    """When a viewer first saw a part listed."""

    at_s: float
    msn: int
    part: int


class Watcher:
    """One LL-HLS viewer in a thread: blocked playlist requests, the next address when one fails, every new part noted.

    `read` is given every playlist; what it raises is kept in `objections`.
    """

    def __init__(self, urls: Sequence[str], room: str, *, read: Callable[[str], object] = lambda _text: None) -> None:
        self._urls = list(urls)
        self._path = f"/live/{room}/source/media.m3u8"
        self._read = read
        self.arrivals: list[Arrival] = []
        self.discontinuities: set[int] = set()
        self.failures = 0  # answers that were errors, connections that broke
        self.went_back = 0
        self.objections: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more requests."""
        self._stopping.set()
        self._thread.join(12)

    def wait_for(self, count: int, *, seconds: float = 30) -> None:
        """Until so many more parts have come. Raises TimeoutError."""
        goal, deadline = len(self.arrivals) + count, time.monotonic() + seconds
        while len(self.arrivals) < goal:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(self.arrivals) - goal + count} of {count} parts came; {self.failures} failures"
                )
            time.sleep(0.02)

    def stall_s(self, since_s: float) -> float:
        """The longest time without a new part, beginning with the last one before `since_s`."""
        before = [each.at_s for each in self.arrivals if each.at_s <= since_s][-1:]
        times = [*before, *(each.at_s for each in self.arrivals if each.at_s > since_s)]
        return max((after - earlier for earlier, after in pairwise(times)), default=0.0)

    # --- inside ---

    def _run(self) -> None:
        connection: HTTPConnection | None = None
        query = ""
        while not self._stopping.is_set():
            try:
                if connection is None:
                    connection = HTTPConnection(urlsplit(self._urls[0]).netloc, timeout=10)
                connection.request("GET", self._path + query)
                answer = connection.getresponse()
                text = answer.read().decode()
                at_s = time.monotonic()
                if answer.status != 200:
                    raise HTTPException(f"{answer.status}: {text}")
                query = self._take(text, at_s)
            except (OSError, HTTPException):
                self.failures += bool(self.arrivals)
                if connection is not None:
                    connection.close()
                connection, query = None, ""
                self._urls.append(self._urls.pop(0))
                self._stopping.wait(_RETRY_S)
        if connection is not None:
            connection.close()

    def _take(self, text: str, at_s: float) -> str:
        try:
            self._read(text)
        except AssertionError as objection:
            self.objections.append(str(objection))
        for line in text.splitlines():
            if line.startswith("#EXT-X-DISCONTINUITY-SEQUENCE:"):
                base = int(line.rpartition(":")[2])
        marks = text.count("#EXT-X-DISCONTINUITY\n")
        self.discontinuities.update(range(base, base + marks + 1))
        msn, part = read_edge(text).ask_next
        last = self.arrivals[-1] if self.arrivals else None
        if last is None or (msn, part) > (last.msn, last.part):
            self.arrivals.append(Arrival(at_s, msn, part))
        elif (msn, part) < (last.msn, last.part):
            self.went_back += 1
        return f"?_HLS_msn={msn}&_HLS_part={part}"
