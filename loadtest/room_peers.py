"""Room servers under test, started as processes: ours, stock python-socketio, Node's socket.io; and a Redis for two.

Node's is installed by npm into the scenario's folder, from whatever registry npm is set up for.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import orjson

from loadtest.machine import cpu_ms, resident_bytes
from loadtest.processes import Child, ChildFailedError, Generator, free_ports, wait_for_port
from loadtest.stage import Stage

OURS, STOCK, NODE = "streamd", "python-socketio", "socket.io (Node)"
SOCKET_IO = "socket.io@4.8.3"
_SCRIPT = Path(__file__).with_name("room_server.cjs")


class RoomProcess:
    """One server process."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.port = port

    def publish(self, event: str, *, per_s: float, size: int = 200) -> None:
        """Say `event` at this rate from now on; 0 stops."""
        query = urllib.parse.urlencode({"event": event, "per_s": per_s, "size": size})
        self._ask(f"/publish?{query}", post=True)

    def facts(self) -> dict[str, Any]:
        """Our own counts."""
        found: dict[str, Any] = orjson.loads(self._ask("/facts"))
        return found

    def show_all(self) -> None:
        """No budget: every danmaku is shown, as the others do."""
        self._ask("/chat?shown_per_s=1000", post=True)

    def _ask(self, path: str, *, post: bool = False) -> bytes:
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, method="POST" if post else "GET")
        with urllib.request.urlopen(request, timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def cpu_ms(self) -> float:
        """Processor time so far."""
        return cpu_ms([self.child.pid])

    def resident_bytes(self) -> int:
        """Resident memory now."""
        return resident_bytes([self.child.pid])

    def stop(self) -> None:
        """End it."""
        self.child.stop()


def install_node_peer(folder: Path) -> Path:
    """Where the modules are. Raises ChildFailedError when npm cannot."""
    npm = shutil.which("npm")
    if npm is None:
        raise ChildFailedError("npm is not installed; it is needed for the comparison with socket.io")
    argv = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", SOCKET_IO]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise ChildFailedError(f"npm could not install {SOCKET_IO}:\n{done.stderr[-800:]}")
    return folder / "node_modules"


def start(stage: Stage, kind: str, *, modules: Path | None = None, redis_url: str = "") -> RoomProcess:
    """One server, listening."""
    [port] = free_ports(1)
    if kind == NODE:
        argv = ["node", str(_SCRIPT), str(modules), str(port)]
    else:
        ours = "streamd" if kind == OURS else "stock"
        argv = [sys.executable, "-m", "loadtest.room_server", ours, str(port), *([redis_url] if redis_url else [])]
    child = stage.child(f"{'node' if kind == NODE else kind}-{port}", argv)
    wait_for_port(port, child)
    return RoomProcess(child, port)


def start_redis(stage: Stage) -> str:
    """A Redis for two nodes; gives its address."""
    [port] = free_ports(1)
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    wait_for_port(port, stage.child("redis", argv))
    return f"redis://127.0.0.1:{port}/0"


def ask(crowd: Generator) -> dict[str, Any]:
    """A crowd's counts in between."""
    assert crowd.popen.stdin is not None
    assert crowd.popen.stdout is not None
    crowd.popen.stdin.write("count\n")
    crowd.popen.stdin.flush()
    found: dict[str, Any] = orjson.loads(crowd.popen.stdout.readline())
    return found
