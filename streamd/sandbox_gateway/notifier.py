"""Tells shops what happened: at once, and again on the schedule of WeChat Pay until they answer 2xx within 5 seconds.

15 s, 15 s, 30 s, 3 min, 10 min, 20 min, 30 min three times, 1 h, 3 h three times, 6 h twice: fifteen repeats in a bit
more than a day; `scale` makes it shorter. Every try is signed anew. What cannot be queued any more is logged and left
to the shop's own asking, as a real gateway's lost notice is.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from streamd.clock import Clock
from streamd.gateways.signing import sign
from streamd.telemetry.log import Log

REPEATS_S: Final = (15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600)
ANSWER_S: Final = 5.0
_AT_ONCE: Final = 32
_WAITING_LIMIT: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notice; its id stays the same however often it is told."""

    id: str
    url: str
    body: bytes
    tries: int = 0


def message(url: str, **facts: Mapping[str, object]) -> Message:
    """A new notice: `payment=` or `refund=` and how it stands."""
    number = secrets.token_hex(16)
    return Message(id=number, url=url, body=json.dumps({"id": number, **facts}).encode())


class Notifier:
    """See the module's promise."""

    def __init__(self, *, key: bytes, clock: Clock, log: Log, scale: float = 1.0) -> None:
        self._key = key
        self._clock = clock
        self._log = log
        self._scale = scale
        self._waiting: list[tuple[int, int, Message]] = []
        self._number = 0
        self._news = asyncio.Event()

    def tell(self, notice: Message, *, in_ms: int = 0) -> None:
        """Never blocks."""
        if len(self._waiting) >= _WAITING_LIMIT:
            self._log.error("sandbox.notice_lost", url=notice.url)
            return
        self._number += 1
        heapq.heappush(self._waiting, (self._clock.now_ms() + in_ms, self._number, notice))
        self._news.set()

    async def run(self) -> None:
        """Tell, for ever. Cancel-safe: yes."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            slots = asyncio.Semaphore(_AT_ONCE)
            while True:
                self._news.clear()
                while self._waiting and self._waiting[0][0] <= self._clock.now_ms():
                    await slots.acquire()
                    task = group.create_task(self._try(session, heapq.heappop(self._waiting)[2]))
                    task.add_done_callback(lambda _: slots.release())
                wait_ms = self._waiting[0][0] - self._clock.now_ms() if self._waiting else 3_600_000
                try:
                    async with asyncio.timeout(max(0, wait_ms) / 1_000):
                        await self._news.wait()
                except TimeoutError:
                    continue

    async def _try(self, session: aiohttp.ClientSession, notice: Message) -> None:
        headers = sign(
            self._key,
            speaker="gateway",
            method="POST",
            path=urlsplit(notice.url).path,
            body=notice.body,
            timestamp_ms=self._clock.utc_ms(),
            nonce=secrets.token_hex(16),
        )
        headers["Content-Type"] = "application/json"
        try:
            async with session.post(notice.url, data=notice.body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            status = 0
        self._log.info("sandbox.notice", id=notice.id, tries=notice.tries + 1, status=status)
        if not 200 <= status < 300 and notice.tries < len(REPEATS_S):
            again = Message(id=notice.id, url=notice.url, body=notice.body, tries=notice.tries + 1)
            self.tell(again, in_ms=int(REPEATS_S[notice.tries] * 1_000 * self._scale))
