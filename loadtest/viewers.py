"""Many viewers of continuous streams in one process: `python -m loadtest.viewers '{"kind": "flv", "urls": [...]}'`.

They read and count, nothing else, so that one process carries hundreds: HTTP-FLV (`flv`) or RTMP play (`rtmp`), the
latter with the acknowledgements that players send. A viewer that gets too little, hears nothing for a second, or is cut
off, shows in the totals; a line `count` on standard input tells in between.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from loadtest import rtmp_wire
from loadtest.machine import allow_many_files, require_loopback
from loadtest.rtmp_peer import open_player

_READ_BYTES = 1 << 18
_ACK_EVERY_BYTES = 2_500_000
_SILENCE_S = 1.0  # a player that keeps as much in store stands still


class Viewer:
    """One connection."""

    __slots__ = ("_acknowledged", "_last_s", "acknowledges", "ended", "received_bytes", "silences", "socket")

    def __init__(self, connection: socket.socket, *, acknowledges: bool) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.acknowledges = acknowledges
        self.received_bytes = 0
        self.ended = ""
        self.silences = 0
        self._last_s = time.monotonic()
        self._acknowledged = 0

    def read(self, into: memoryview) -> None:
        """Take what has come."""
        try:
            count = self.socket.recv_into(into)
        except BlockingIOError:
            return
        except OSError as error:
            self.ended = repr(error)
            return
        if not count:
            self.ended = "closed by the server"
        self.received_bytes += count
        now_s = time.monotonic()
        self.silences += now_s - self._last_s > _SILENCE_S
        self._last_s = now_s
        if self.acknowledges and self.received_bytes - self._acknowledged > _ACK_EVERY_BYTES:
            self._acknowledged = self.received_bytes
            self.socket.send(rtmp_wire.acknowledgement(self.received_bytes))


def open_flv(url: str) -> socket.socket:
    """A GET whose answer goes on for ever. Raises RuntimeError when it is not 200."""
    parts = urlsplit(require_loopback(url))
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    answer = connection.recv(_READ_BYTES)
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"{url} answered {answer[:200]!r}")
    return connection


def run(job: dict[str, Any]) -> None:
    """Watch every URL of the job until standard input closes. Totals count from when all are connected."""
    allow_many_files()
    is_rtmp = job["kind"] == "rtmp"
    poller = select.epoll()
    viewers: dict[int, Viewer] = {}
    into = memoryview(bytearray(_READ_BYTES))
    for url in job["urls"]:
        viewer = Viewer(open_player(url) if is_rtmp else open_flv(url), acknowledges=is_rtmp)
        viewers[viewer.socket.fileno()] = viewer
        poller.register(viewer.socket, select.EPOLLIN)
        _turn(poller, viewers, into, 0)
    print(json.dumps({"connected": len(viewers)}), flush=True)
    poller.register(sys.stdin, select.EPOLLIN)
    before = {number: viewer.received_bytes for number, viewer in viewers.items()}
    started = time.monotonic()
    while _turn(poller, viewers, into, 1):
        pass
    seconds = time.monotonic() - started
    rates = sorted((viewer.received_bytes - before[number]) * 8 / seconds for number, viewer in viewers.items())
    totals = {
        "seconds": seconds,
        **_counts(viewers),
        "slowest_bps": rates[0],
        "median_bps": rates[len(rates) // 2],
        "ended": [viewer.ended for viewer in viewers.values() if viewer.ended],
    }
    print(json.dumps(totals), flush=True)


def _counts(viewers: dict[int, Viewer]) -> dict[str, Any]:
    return {
        "received_bytes": sum(viewer.received_bytes for viewer in viewers.values()),
        "silences": sum(viewer.silences for viewer in viewers.values()),
        "cut_off": sum(bool(viewer.ended) for viewer in viewers.values()),
    }


def _turn(poller: select.epoll, viewers: dict[int, Viewer], into: memoryview, wait_s: float) -> bool:
    """Read from whoever has something. False when standard input has closed."""
    for number, _ in poller.poll(wait_s):
        if number == sys.stdin.fileno():
            if not sys.stdin.readline():
                return False
            print(json.dumps(_counts(viewers)), flush=True)
            continue
        viewer = viewers[number]
        viewer.read(into)
        if viewer.ended:
            poller.unregister(number)
    return True


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
