"""Room servers under test, started as processes: ours, stock python-socketio, Node's socket.io; and a Redis for two.

Node's is installed by `loadtest.npm`.
"""

from __future__ import annotations

import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import orjson

from loadtest.machine import cpu_ms, resident_bytes
from loadtest.processes import Child, free_ports, wait_for_port
from loadtest.stage import Stage

OURS, STOCK, NODE = "streamd", "python-socketio", "socket.io (Node)"
SOCKET_IO = ("socket.io@4.8.3", "@socket.io/redis-adapter@8.3.0", "redis@4.7.1")
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


def start(stage: Stage, kind: str, *, modules: Path | None = None, redis_url: str = "") -> RoomProcess:
    """One server, listening."""
    [port] = free_ports(1)
    if kind == NODE:
        argv = ["node", str(_SCRIPT), str(modules), str(port)]
    else:
        argv = [sys.executable, "-m", "loadtest.room_server", "streamd" if kind == OURS else "stock", str(port)]
    child = stage.child(f"{'node' if kind == NODE else kind}-{port}", [*argv, *([redis_url] if redis_url else [])])
    wait_for_port(port, child)
    return RoomProcess(child, port)


def start_redis(stage: Stage) -> int:
    """A Redis for several nodes; gives its port."""
    [port] = free_ports(1)
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    wait_for_port(port, stage.child(f"redis-{port}", argv))
    return port


def redis_address(port: int) -> str:
    """Its address."""
    return f"redis://127.0.0.1:{port}/0"
