"""Many low-latency HLS viewers in one process: `python -m loadtest.hls_crowd '{"url": ..., "viewers": 1000}'`.

Each holds one keep-alive connection and does what hls.js does: ask for the next part's playlist with `_HLS_msn`,
`_HLS_part` and `_HLS_skip`, gzip accepted, be held, ask for the one after. With `"media": true` it is a player: it
begins PART-HOLD-BACK behind the end, fetches every part in order from one that is independent, and keeps a playhead, so
that stalls and the distance from the live moment are counted. Only the first answer of a kind is parsed: a thousand
viewers must not cost more than the server that they measure. A line `count` on standard input tells in between.
"""

from __future__ import annotations

import gzip
import json
import re
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from loadtest.histogram import Histogram
from loadtest.hls_playlist import Edge, ListedPart, read_edge
from loadtest.machine import allow_many_files, require_loopback
from loadtest.playhead import Playhead
from loadtest.report import percentile

_READ_BYTES = 1 << 18
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_WORTH_NOTING = 12
_KEPT_EDGES = 64  # viewers further behind read their answer themselves


@dataclass(slots=True)
class Moment:
    """One part's playlist, as the crowd saw it come."""

    part_end_utc_s: float
    first_s: float
    last_s: float = 0.0
    count: int = 0


@dataclass(slots=True)
class Crowd:
    """What all viewers of a process share."""

    playlist_url: str
    media: bool
    edges: dict[tuple[int, int], Edge] = field(default_factory=dict)
    moments: dict[tuple[int, int], Moment] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    media_bytes: int = 0
    arrivals: Histogram = field(default_factory=Histogram)  # end of a part's media until a viewer has the part

    def edge(self, target: tuple[int, int], head: bytes, body: bytes, now_s: float) -> Edge:
        """What the answer for `target` says; read once for all, unless the server let go before it had come."""
        known = self.edges.get(target)
        if known is None:
            known = read_edge(_text(head, body))
            if known.ask_next <= target:
                return known
            self.edges[target] = known
            self.moments[target] = Moment(known.part_end_utc_s, now_s)
            if len(self.edges) > _KEPT_EDGES:
                del self.edges[next(iter(self.edges))]
        return known

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

    __slots__ = (
        "_crowd",
        "_fetching",
        "_have",
        "_head",
        "_left",
        "_live_after",
        "_target",
        "_wanted",
        "ended",
        "playhead",
        "socket",
    )

    def __init__(self, connection: socket.socket, crowd: Crowd, edge: Edge) -> None:
        self.socket = connection
        self.playhead = Playhead(edge.part_end_utc_s - edge.hold_back_s, enough_s=edge.part_end_utc_s)
        self.ended = ""
        self._crowd = crowd
        self._target = edge.ask_next
        self._head = b""
        self._left = 0  # of a media body that has begun
        self._fetching: ListedPart | None = None
        self._wanted: deque[ListedPart] = deque()
        self._have = edge.parts[-1].place if edge.parts else (0, 0)
        self._live_after = self._have  # what was there before us says nothing about the server
        if crowd.media and edge.parts:
            first = edge.first_to_play()
            self._wanted.extend((first, *edge.after(first.place)))
        self._ask()

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
                self._took(now_s)
        else:
            self._head += bytes(into[:count])
            self._try_answer(now_s)

    def _ask(self) -> None:
        """For the next part there is, else for the playlist that will list one."""
        if self._wanted:
            self._fetching = self._wanted.popleft()
            self.socket.send(self._crowd.media_request(self._fetching.uri))
        else:
            self.socket.send(self._crowd.request(self._target))

    def _took(self, now_s: float) -> None:
        """A part is here, whole."""
        part = self._fetching
        assert part is not None
        self._fetching = None
        self.playhead.take(part.begins_utc_s, part.ends_utc_s, now_s=now_s)
        if part.place > self._live_after:
            self._crowd.arrivals.record(1e6 * (now_s - part.ends_utc_s))
        self._ask()

    def _try_answer(self, now_s: float) -> None:
        head_end = self._head.find(b"\r\n\r\n")
        if head_end < 0:
            return
        found = _LENGTH.search(self._head, 0, head_end + 2)
        length = int(found.group(1)) if found else 0
        body_start = head_end + 4
        if self._fetching is not None:
            self._begin_media(length, len(self._head) - body_start, now_s)
        elif len(self._head) - body_start >= length:
            head, body = self._head[:head_end], self._head[body_start:]
            self._head = b""
            self._crowd.statuses[f"playlist {head[9:12].decode()}"] += 1
            self._next(head, body, now_s)

    def _begin_media(self, length: int, there: int, now_s: float) -> None:
        status, self._head = self._head[9:12], b""
        self._crowd.statuses[f"part {status.decode()}"] += 1
        self._crowd.media_bytes += length
        self._left = length - there
        if status != b"200":
            self._fetching = None  # gone: a hole, which the playhead feels
        if self._left <= 0:
            if self._fetching is None:
                self._ask()
            else:
                self._took(now_s)

    def _next(self, head: bytes, body: bytes, now_s: float) -> None:
        crowd = self._crowd
        if head.startswith(b"HTTP/1.1 200"):
            edge = crowd.edge(self._target, head, body, now_s)
            moment = crowd.moments.get(self._target)
            if moment is not None:  # else it was under way when counting began
                moment.count += 1
                moment.last_s = now_s
            self._target = edge.ask_next
            if crowd.media:
                self._wanted.extend(edge.after(self._have))
                self._have = self._wanted[-1].place if self._wanted else self._have
        self._ask()


def run(job: dict[str, Any]) -> None:
    """Watch until standard input closes. Totals count the parts that came after everybody was there."""
    allow_many_files()
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
        viewers[connection.fileno()] = Viewer(connection, crowd, edge)
        poller.register(connection, select.EPOLLIN)
        _turn(poller, viewers, into, 0)
    print(json.dumps({"connected": len(viewers)}), flush=True)
    poller.register(sys.stdin, select.EPOLLIN)
    _settle(crowd)
    started_s = time.time()
    while _turn(poller, viewers, into, 1):
        pass
    for viewer in viewers.values():
        viewer.playhead.finish(now_s=time.time())
    print(json.dumps(_totals(crowd, viewers, time.time() - started_s)), flush=True)


def _settle(crowd: Crowd) -> None:
    """Forget what was counted while viewers were still arriving."""
    crowd.statuses.clear()
    crowd.arrivals = Histogram()
    crowd.moments = {target: moment for target, moment in crowd.moments.items() if target == max(crowd.moments)}
    for moment in crowd.moments.values():
        moment.count = -1_000_000  # this one is under way: never complete


def _turn(poller: select.epoll, viewers: dict[int, Viewer], into: memoryview, wait_s: float) -> bool:
    """Read from whoever has something. False when standard input has closed."""
    for number, _ in poller.poll(wait_s):
        if number == sys.stdin.fileno():
            if not sys.stdin.readline():
                return False
            print(json.dumps(_playing(viewers)), flush=True)
            continue
        viewer = viewers[number]
        viewer.read(into, time.time())
        if viewer.ended:
            poller.unregister(number)
    return True


def _playing(viewers: dict[int, Viewer]) -> dict[str, Any]:
    """How the players fare until now."""
    heads = [viewer.playhead for viewer in viewers.values()]
    latencies = [1000 * head.latency_s for head in heads if head.latency_s is not None]
    return {
        "stalls": sum(head.stalls for head in heads),
        "stalled_viewers": sum(head.stalls > 0 for head in heads),
        "stalled_s": sum(head.stalled_s for head in heads),
        "latency_ms": list(_quantiles(latencies)),
        "ended": sum(bool(viewer.ended) for viewer in viewers.values()),
    }


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
        "arrivals": crowd.arrivals.as_json(),
        "playing": _playing(viewers),
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
