"""Many RTMP publishers in one process: `python -m loadtest.publishers '{"urls": [...], "clip": "..."}'`.

All replay one recording in real time, each with a phase of its own. What a server sees is what `ffmpeg -re -c copy`
shows it: the same messages in the same bursts and writes, due messages looked for every 10 ms.
A line `count` on standard input tells in between. Measured side by side
with 20 streams, nginx-rtmp pays for ours what it pays for ffmpeg's (within 3 %), streamd up to 10 % more.
"""

from __future__ import annotations

import heapq
import json
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

from loadtest.machine import allow_many_files
from loadtest.recording import Recording, from_flv
from loadtest.rtmp_peer import open_publisher

# FFmpeg sleeps this long when no packet is due.
_WAKE_MS = 10
_LATE_MS = 100
_GOLDEN = 0.618  # multiples of it fill an interval evenly, however many there are


class Publisher:
    """One stream. `send_due` is called when its next message is due, or a little later."""

    __slots__ = ("_backlog", "_loop_start_ms", "_next", "_recording", "dropped", "late_count", "sent_bytes", "socket")

    def __init__(self, connection: socket.socket, recording: Recording, start_ms: float) -> None:
        self.socket = connection
        self._recording = recording
        self._loop_start_ms = start_ms
        self._next = 0
        self._backlog = b""
        self.sent_bytes = 0
        self.late_count = 0
        self.dropped = ""
        connection.sendall(recording.opening)
        connection.setblocking(False)

    def send_due(self, now_ms: float) -> float:
        """Send what is due and return when to come again."""
        messages = self._recording.messages
        loop_ms = now_ms - self._loop_start_ms
        message = messages[self._next]
        if loop_ms - message.due_ms > _LATE_MS:
            self.late_count += 1
        body = b""
        while message.due_ms <= loop_ms:
            # Each header goes out with the body before it: FFmpeg's writes, as Nagle's algorithm joins them.
            self._send(body + message.header)
            body = message.body
            self._next += 1
            if self._next == len(messages):
                self._next = 0
                self._loop_start_ms += self._recording.loop_ms
                loop_ms -= self._recording.loop_ms
            message = messages[self._next]
        if body:
            self._send(body)
        wait_ms = message.due_ms - loop_ms
        return now_ms + -(-wait_ms // _WAKE_MS) * _WAKE_MS

    def _send(self, data: bytes) -> None:
        if self._backlog:
            data = self._backlog + data
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.dropped = self.dropped or repr(error)
            sent = len(data)
        self.sent_bytes += sent
        self._backlog = data[sent:]


def run(job: dict[str, Any]) -> None:
    """Publish to every URL of the job until standard input closes."""
    allow_many_files()
    recording = from_flv(Path(job["clip"]).read_bytes(), loop_ms=int(job["loop_ms"]))
    poller = select.epoll()
    publishers: dict[int, Publisher] = {}
    due: list[tuple[float, int]] = []
    for index, url in enumerate(job["urls"]):
        connection = open_publisher(url)
        # Key frames of different streams come at different moments, as they do in life.
        start_ms = _now_ms() + index * _GOLDEN % 1 * 2000
        publishers[connection.fileno()] = Publisher(connection, recording, start_ms)
        poller.register(connection, select.EPOLLIN)
        heapq.heappush(due, (start_ms, connection.fileno()))
        _work(poller, publishers, due)
    print(json.dumps({"connected": len(publishers)}), flush=True)
    poller.register(sys.stdin, select.EPOLLIN)
    started = time.monotonic()
    while _work(poller, publishers, due):
        pass
    print(json.dumps(_totals(publishers.values(), time.monotonic() - started)), flush=True)


def _work(poller: select.epoll, publishers: dict[int, Publisher], due: list[tuple[float, int]]) -> bool:
    """One turn: sleep until something is due, send it. False when standard input has closed."""
    wait_s = max(0.0, due[0][0] - _now_ms()) / 1000 if due else 0.1
    for number, _ in poller.poll(wait_s):
        if number == sys.stdin.fileno():
            if not sys.stdin.readline():
                return False
            print(json.dumps(_totals(publishers.values(), 0.0)), flush=True)
            continue
        _discard_answers(poller, publishers[number])
    now_ms = _now_ms()
    while due and due[0][0] <= now_ms:
        number = due[0][1]
        publisher = publishers[number]
        next_ms = publisher.send_due(now_ms)
        if publisher.dropped:
            heapq.heappop(due)
        else:
            heapq.heapreplace(due, (next_ms, number))
    return True


def _discard_answers(poller: select.epoll, publisher: Publisher) -> None:
    try:
        alive = bool(publisher.socket.recv(65_536))
    except BlockingIOError:
        return
    except OSError:
        alive = False
    if not alive:
        publisher.dropped = publisher.dropped or "closed by the server"
        poller.unregister(publisher.socket)


def _totals(publishers: Any, seconds: float) -> dict[str, Any]:
    everybody = list(publishers)
    return {
        "seconds": seconds,
        "sent_bytes": sum(one.sent_bytes for one in everybody),
        "late": sum(one.late_count for one in everybody),
        "dropped": [one.dropped for one in everybody if one.dropped],
        "cpu_ms": time.process_time() * 1000,
    }


def _now_ms() -> float:
    return time.monotonic() * 1000


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
