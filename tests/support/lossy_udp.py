"""A bad network: a UDP relay that loses and delays datagrams, in both directions."""

from __future__ import annotations

import heapq
import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

Address = tuple[str, int]


class LossyRelay:
    """Between one client at a time and `target`. `lost` and `delayed` are shares of all datagrams.

    Delayed ones come up to `delay_s` later than their followers: that is reordering.
    """

    def __init__(self, target: Address, *, lost: float, delayed: float, delay_s: float, seed: int = 1) -> None:
        self.relayed = self.dropped = self.overtaken = 0
        self._target = target
        self._lost, self._delayed, self._delay_s = lost, delayed, delay_s
        self._chance = random.Random(seed)
        self._door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._door.bind(("127.0.0.1", 0))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.bind(("127.0.0.1", 0))
        self._client: Address | None = None
        self._waiting: list[tuple[float, int, bytes, bool]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def port(self) -> int:
        port: int = self._door.getsockname()[1]
        return port

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._door.close()
        self._back.close()

    def _run(self) -> None:
        while not self._over.is_set():
            until = self._waiting[0][0] - time.monotonic() if self._waiting else 0.05
            ready, _, _ = select.select([self._door, self._back], [], [], min(max(until, 0), 0.05))
            for each in ready:
                self._take(each)
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                self._send(*heapq.heappop(self._waiting)[2:])

    def _take(self, receiver: socket.socket) -> None:
        data, sender = receiver.recvfrom(65_536)
        inwards = receiver is self._door
        if inwards:
            self._client = sender
        if self._chance.random() < self._lost:
            self.dropped += 1
        elif self._chance.random() < self._delayed:
            self.overtaken += 1
            due = time.monotonic() + self._chance.uniform(0, self._delay_s)
            heapq.heappush(self._waiting, (due, self.overtaken, data, inwards))
        else:
            self._send(data, inwards)

    def _send(self, data: bytes, inwards: bool) -> None:
        self.relayed += 1
        if inwards:
            self._back.sendto(data, self._target)
        elif self._client is not None:
            self._door.sendto(data, self._client)


@contextmanager
def lossy_relay(port: int, *, lost: float = 0.05, delayed: float = 0.1, delay_s: float = 0.03) -> Iterator[LossyRelay]:
    """A relay to a port of this machine, running."""
    relay = LossyRelay(("127.0.0.1", port), lost=lost, delayed=delayed, delay_s=delay_s)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
