"""Many low-latency HLS viewers in one process: `python -m loadtest.hls_crowd '{"url": ..., "viewers": 1000}'`.

Each holds one keep-alive connection and does what hls.js does: ask for the next part's playlist with `_HLS_msn`,
`_HLS_part` and `_HLS_skip`, gzip accepted, be held, ask for the one after; with `"media": true` fetch every part in
between. Only the first answer of a kind is parsed, the others are counted: a thousand viewers must not cost more than
the server that they measure.
"""

from __future__ import annotations

import gzip
import json
import re
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from loadtest.machine import require_loopback
from loadtest.report import percentile

_READ_BYTES = 1 << 18
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_PART = re.compile(r'#EXT-X-PART:.*?DURATION=([\d.]+).*?URI="([^"]+)"')
_WORTH_NOTING = 12


@dataclass(slots=True)
class Moment:
    """One part's playlist, as the crowd saw it come."""

    part_end_utc_s: float  # by EXT-X-PROGRAM-DATE-TIME and the durations after it
    first_s: float
    last_s: float = 0.0
    count: int = 0


@dataclass(slots=True, frozen=True)
class Edge:
    """What one playlist says about its end."""

    ask_next: tuple[int, int]  # media sequence number and part to ask for
    last_part: str
    part_end_utc_s: float


@dataclass(slots=True)
class Crowd:
    """What all viewers of a process share."""

    playlist_url: str
    media: bool
    edges: dict[tuple[int, int], Edge] = field(default_factory=dict)
    moments: dict[tuple[int, int], Moment] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    media_bytes: int = 0

    def request(self, target: tuple[int, int]) -> bytes:
        """A blocked playlist request."""
        parts = urlsplit(self.playlist_url)
        query = f"_HLS_msn={target[0]}&_HLS_part={target[1]}&_HLS_skip=YES"
        return _get(parts.netloc, f"{parts.path}?{query}")

    def media_request(self, uri: str) -> bytes:
        """A part."""
        parts = urlsplit(urljoin(self.playlist_url, uri))
        return _get(parts.netloc, parts.path)


class Viewer:
    """One connection and where it is in the programme."""

    __slots__ = ("_crowd", "_head", "_is_media", "_left", "_target", "ended", "socket")

    def __init__(self, connection: socket.socket, crowd: Crowd, target: tuple[int, int]) -> None:
        self.socket = connection
        self._crowd = crowd
        self._target = target
        self._head = b""
        self._left = 0  # of a media body that has begun
        self._is_media = False
        self.ended = ""
        connection.send(crowd.request(target))

    def read(self, into: memoryview, now_s: float) -> None:
        """Take what has come; an answer that is complete leads to the next request."""
        try:
            count = self.socket.recv_into(into)
        except BlockingIOError:
            return
        except OSError as error:
            self.ended = repr(error)
            return
        if not count:
            self.ended = "closed by the server"
        elif self._left:
            self._left -= count
            if self._left <= 0:
                self.socket.send(self._crowd.request(self._target))
        else:
            self._head += bytes(into[:count])
            self._try_answer(now_s)

    def _try_answer(self, now_s: float) -> None:
        head_end = self._head.find(b"\r\n\r\n")
        if head_end < 0:
            return
        found = _LENGTH.search(self._head, 0, head_end + 2)
        length = int(found.group(1)) if found else 0
        body_start = head_end + 4
        crowd = self._crowd
        if self._is_media:
            self._is_media = False
            crowd.media_bytes += length
            crowd.statuses[f"part {self._head[9:12].decode()}"] += 1
            self._left = length - (len(self._head) - body_start)
            self._head = b""
            if self._left <= 0:
                self.socket.send(crowd.request(self._target))
            return
        if len(self._head) - body_start < length:
            return
        head, body = self._head[:head_end], self._head[body_start:]
        self._head = b""
        crowd.statuses[f"playlist {head[9:12].decode()}"] += 1
        self._next(head, body, now_s)

    def _next(self, head: bytes, body: bytes, now_s: float) -> None:
        crowd = self._crowd
        if not head.startswith(b"HTTP/1.1 200"):
            self.socket.send(crowd.request(self._target))
            return
        edge = crowd.edges.get(self._target)
        if edge is None:
            edge = crowd.edges[self._target] = read_edge(_text(head, body))
            crowd.moments[self._target] = Moment(edge.part_end_utc_s, now_s)
        moment = crowd.moments[self._target]
        moment.count += 1
        moment.last_s = now_s
        self._target = edge.ask_next
        if crowd.media and edge.last_part:
            self._is_media = True
            self.socket.send(crowd.media_request(edge.last_part))
        else:
            self.socket.send(crowd.request(self._target))


def read_edge(playlist: str) -> Edge:
    """Where a playlist ends: the next part to ask for, the last one there is and the moment that it ends."""
    msn = 0
    part = 0
    last_part = ""
    clock_s = 0.0
    for line in playlist.splitlines():
        if line.startswith("#EXT-X-MEDIA-SEQUENCE:"):
            msn = int(line.partition(":")[2])
        elif line.startswith("#EXT-X-SKIP:"):
            msn += int(re.findall(r"SKIPPED-SEGMENTS=(\d+)", line)[0])
        elif line.startswith("#EXT-X-PROGRAM-DATE-TIME:"):
            clock_s = datetime.fromisoformat(line.partition(":")[2]).timestamp()
        elif found := _PART.match(line):
            clock_s += float(found.group(1))
            last_part = found.group(2)
            part += 1
        elif line and not line.startswith("#"):
            msn += 1
            part = 0
    return Edge((msn, part), last_part, clock_s)


def run(job: dict[str, Any]) -> None:
    """Watch until standard input closes. Totals count the parts that came after everybody was there."""
    index_url = require_loopback(job["url"])
    lines = _text(*_fetch(index_url)).splitlines()
    playlist_url = urljoin(index_url, next(line for line in lines if line and not line.startswith("#")))
    crowd = Crowd(playlist_url, bool(job.get("media")))
    poller = select.epoll()
    viewers: dict[int, Viewer] = {}
    into = memoryview(bytearray(_READ_BYTES))
    for _ in range(job["viewers"]):
        edge = crowd.edges[max(crowd.edges)] if crowd.edges else read_edge(_text(*_fetch(playlist_url)))
        parts = urlsplit(playlist_url)
        connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        viewers[connection.fileno()] = Viewer(connection, crowd, edge.ask_next)
        poller.register(connection, select.EPOLLIN)
        _turn(poller, viewers, into, 0)
    print(json.dumps({"connected": len(viewers)}), flush=True)
    poller.register(sys.stdin, select.EPOLLIN)
    _settle(crowd)
    started_s = time.time()
    while _turn(poller, viewers, into, 1):
        pass
    print(json.dumps(_totals(crowd, viewers, time.time() - started_s)), flush=True)


def _settle(crowd: Crowd) -> None:
    """Forget what was counted while viewers were still arriving."""
    crowd.statuses.clear()
    crowd.moments = {target: moment for target, moment in crowd.moments.items() if target == max(crowd.moments)}
    for moment in crowd.moments.values():
        moment.count = -1_000_000  # this one is under way: never complete


def _turn(poller: select.epoll, viewers: dict[int, Viewer], into: memoryview, wait_s: float) -> bool:
    """Read from whoever has something. False when standard input has closed."""
    for number, _ in poller.poll(wait_s):
        if number == sys.stdin.fileno():
            return False
        viewer = viewers[number]
        viewer.read(into, time.time())
        if viewer.ended:
            poller.unregister(number)
    return True


def _totals(crowd: Crowd, viewers: dict[int, Viewer], seconds: float) -> dict[str, Any]:
    whole = [moment for moment in crowd.moments.values() if moment.count == len(viewers)]
    return {
        "seconds": seconds,
        "statuses": dict(crowd.statuses),
        "answers": sum(crowd.statuses.values()),
        "media_bytes": crowd.media_bytes,
        "parts": len(whole),
        "cpu_ms": time.process_time() * 1000,
        "spread_ms": list(_quantiles([1000 * (moment.last_s - moment.first_s) for moment in whole])),
        "first_ms": list(_quantiles([1000 * (moment.first_s - moment.part_end_utc_s) for moment in whole])),
        "last_ms": list(_quantiles([1000 * (moment.last_s - moment.part_end_utc_s) for moment in whole])),
        "ended": Counter(viewer.ended for viewer in viewers.values() if viewer.ended).most_common(_WORTH_NOTING),
    }


def _quantiles(values: list[float]) -> Iterator[float]:
    """Median, 95th and 99th percentile."""
    for share in (0.5, 0.95, 0.99):
        yield percentile(values, share) if values else 0.0


def _fetch(url: str) -> tuple[bytes, bytes]:
    """Head and body of one GET, on a connection of its own."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(_get(parts.netloc, parts.path))
        data = b""
        while b"\r\n\r\n" not in data:
            data += _some(connection, url)
        head, _, body = data.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        while len(body) < (int(found.group(1)) if found else 0):
            body += _some(connection, url)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{url} answered {head[:200]!r}")
    return head, body


def _some(connection: socket.socket, url: str) -> bytes:
    data = connection.recv(_READ_BYTES)
    if not data:
        raise RuntimeError(f"{url}: closed in the middle of an answer")
    return data


def _get(host: str, target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n\r\n".encode()


def _text(head: bytes, body: bytes) -> str:
    return (gzip.decompress(body) if b"gzip" in head.lower() else body).decode()


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
