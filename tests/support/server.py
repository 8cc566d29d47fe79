"""A real `streamd serve` process on free ports, with a data folder of its own, gone afterwards.

with start_server(tmp_path, args=["--demo", "--no-programme"]) as server:
    get(f"{server.http_url}/healthz")
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.web import eventually, get

ROOT = Path(__file__).parents[2]
# An encoder may come back within it; short, so that tests can wait for a programme to be over.
GRACE_MS = 5_000


class RunningServer:
    """The process and where it listens."""

    def __init__(self, *, folder: Path, environ: Mapping[str, str], http_port: int, rtmp_port: int) -> None:
        self.folder = folder
        self.environ = dict(environ)
        self.http_port = http_port
        self.rtmp_port = rtmp_port
        self.http_url = f"http://127.0.0.1:{http_port}"
        self.ws_url = f"ws://127.0.0.1:{http_port}"
        self.rtmp_url = f"rtmp://127.0.0.1:{rtmp_port}/live"  # append /KEY to publish, /ROOM to play
        self.log_path = folder / "server.log"
        self.stdout_path = folder / "server.out"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def stdout(self) -> str:
        """What it has printed for people so far: the banner."""
        return self.stdout_path.read_text(encoding="utf-8", errors="replace")

    def start(self, args: Sequence[str]) -> None:
        """Start and wait until `/readyz` says so."""
        with self.log_path.open("ab") as log, self.stdout_path.open("ab") as out:
            command = [sys.executable, "-m", "streamd", "serve", *args]
            self._process = subprocess.Popen(command, cwd=self.folder, env=self.environ, stdout=out, stderr=log)
        eventually(self._answers, bool, seconds=30, what="the server is ready")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log[-4_000:]}")
        try:
            return get(f"{self.http_url}/readyz", timeout=2).status == 200
        except OSError:
            return False

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Another command of streamd with the same settings and data: `server.run("room", "list")`."""
        command = [sys.executable, "-m", "streamd", *args]
        return subprocess.run(
            command, cwd=self.folder, env=self.environ, check=check, capture_output=True, text=True, timeout=60
        )

    def create_room(self, slug: str) -> dict[str, Any]:
        """A new room, as `streamd room create --json` prints it: room, stream_key, rtmp_url, whip_url, watch_url."""
        made: dict[str, Any] = json.loads(self.run("room", "create", slug, "--json").stdout)
        return made

    def end_programme(self, room: str) -> None:
        """Wait until the grace time of a room without an encoder is over."""
        address = f"{self.http_url}/api/v1/rooms/{room}/stream"
        eventually(
            lambda: get(address).json()["state"],
            lambda state: bool(state == "offline"),
            seconds=GRACE_MS / 1_000 + 5,
            what=f"the programme of {room} is over",
        )

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash: no farewell to anybody."""
        self.process.kill()
        self.process.wait(10)

    def wait(self, seconds: float) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End it if it still runs. What it left behind is a failure of its own test, not of this clean-up."""
        if self._process is None or self.process.poll() is not None:
            return
        self.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def start_server(
    folder: Path,
    *,
    args: Sequence[str] = ("--demo", "--no-programme"),
    env: Mapping[str, str] | None = None,
    like: RunningServer | None = None,
) -> Iterator[RunningServer]:
    """A server, ready. `env` adds settings (`{"STREAMD_HLS_PART_MS": "200"}`); `like` takes another one's ports.

    Servers that are given the same `folder` share their data, one after the other.
    """
    http_port = like.http_port if like else free_port()
    rtmp_port = like.rtmp_port if like else free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMD_")}
    own = {
        "PYTHONPATH": str(ROOT),
        "STREAMD_DATA_DIR": str(folder / "data"),
        "STREAMD_HTTP_HOST": "127.0.0.1",
        "STREAMD_HTTP_PORT": str(http_port),
        "STREAMD_RTMP_HOST": "127.0.0.1",
        "STREAMD_RTMP_PORT": str(rtmp_port),
        "STREAMD_SANDBOX_PORT": str(free_port()),
        "STREAMD_LIVE_GRACE_MS": str(GRACE_MS),
        "STREAMD_LOG_FORMAT": "json",
    }
    server = RunningServer(
        folder=folder, environ={**inherited, **own, **(env or {})}, http_port=http_port, rtmp_port=rtmp_port
    )
    try:
        server.start(args)
        yield server
    finally:
        server.stop()
