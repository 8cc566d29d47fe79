"""Many WHIP publishers in one process: `python -m loadtest.whip_publishers '{"doors": [...], "clip": "..."}'`.

All send one recording in real time, each with a phase of its own: H.264 in packets of 1200 bytes, Opus as the job's
`encoder` makes it ("obs" or "browser"), sender reports once a second, a connectivity check every five. Due packets are
looked for every 5 ms. Whatever the server asks for is read and thrown away: loopback loses nothing.
"""

from __future__ import annotations

import json
import select
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest.rtp_recording import Payload, Player, from_flv
from loadtest.whip_peer import Answer, WhipPeer

_WAKE_S = 0.005
_CHECK_EVERY_MS = 5_000.0
_GOLDEN = 0.618


class Publisher:
    """One stream."""

    def __init__(self, door: str, key: str, payloads: list[Payload], *, loop_ms: int, phase_ms: float) -> None:
        self.peer = WhipPeer()
        self._player = Player(payloads, loop_ms=loop_ms)
        self.sent_bytes = 0
        started = time.monotonic()
        answer, self.location = post_offer(door, key, self.peer.offering.sdp())
        self.peer.connect(answer)
        self.connect_ms = (time.monotonic() - started) * 1_000
        self._start_ms = _now_ms() + phase_ms
        self._check_ms = 0.0

    def send_due(self) -> None:
        """All that is due now."""
        now_ms = _now_ms() - self._start_ms
        if now_ms < 0:
            return
        for report in self._player.reports(now_ms, time.time()):
            self.peer.send_control(report)
        for packet in self._player.take(now_ms):
            self.sent_bytes += len(packet)
            self.peer.send(packet)
        if now_ms >= self._check_ms:
            self._check_ms = now_ms + _CHECK_EVERY_MS
            self.peer.check()
            self.peer.received()


def post_offer(door: str, key: str, offer: str) -> tuple[Answer, str]:
    """The answer and the session's address. Raises OSError."""
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(door, data=offer.encode(), headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        parts = urlsplit(door)
        location = f"{parts.scheme}://{parts.netloc}{response.headers['Location']}"
        return Answer.read(response.read().decode()), location


def run(job: dict[str, Any]) -> None:
    """Publish to every door of the job, whose last part is the key, until standard input closes."""
    loop_ms = int(job["loop_ms"])
    payloads = from_flv(Path(job["clip"]).read_bytes(), loop_ms=loop_ms, encoder=job.get("encoder", "obs"))
    publishers: list[Publisher] = []
    for index, door in enumerate(job["doors"]):
        phase_ms = index * _GOLDEN % 1 * 2_000
        publishers.append(Publisher(door, door.rpartition("/")[2], payloads, loop_ms=loop_ms, phase_ms=phase_ms))
        _send(publishers)
    connect_ms = [publisher.connect_ms for publisher in publishers]
    print(json.dumps({"connected": len(publishers), "connect_ms": connect_ms}), flush=True)
    started = time.monotonic()
    while not select.select([sys.stdin], [], [], _WAKE_S)[0]:
        _send(publishers)
    seconds = time.monotonic() - started
    for publisher in publishers:
        publisher.peer.close()
    totals = {
        "seconds": seconds,
        "sent_bytes": sum(publisher.sent_bytes for publisher in publishers),
        "cpu_ms": time.process_time() * 1_000,
    }
    print(json.dumps(totals), flush=True)


def _send(publishers: list[Publisher]) -> None:
    for publisher in publishers:
        publisher.send_due()


def _now_ms() -> float:
    return time.monotonic() * 1_000


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
