"""Records on their way to one mirror: a bounded queue between who makes them and a connection.

Bound: `limit_bytes`; policy `cut`: a mirror that takes them too slowly is cut off and comes back for a new beginning.
An idle pipe says so once in a while (`PING`), so that a mirror can tell silence from a dead peer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from streamd.media.records import record

PING = 0
PING_S = 1.0
_PING_RECORD = b"".join(record(PING))


class Writer(Protocol):
    """What is used of a response."""

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError."""
        ...


class RecordPipe:
    """See the module's promise. `gather_s`: how long records wait for company once there is one."""

    def __init__(self, *, limit_bytes: int, gather_s: float = 0.0, ping_s: float = PING_S) -> None:
        self._limit_bytes = limit_bytes
        self._gather_s = gather_s
        self._ping_s = ping_s
        self._pieces: list[bytes] = []
        self._news = asyncio.Event()
        self._is_closed = False
        self.waiting_bytes = 0
        self.is_cut = False

    def write(self, pieces: Iterable[bytes]) -> None:
        """Queue one record. Never blocks; ignored once the pipe is closed or cut."""
        if self._is_closed:
            return
        before = len(self._pieces)
        self._pieces += pieces
        self.waiting_bytes += sum(map(len, self._pieces[before:]))
        if self.waiting_bytes > self._limit_bytes:
            self.is_cut = True
            self.close()
        self._news.set()

    def close(self) -> None:
        """No more records; what is queued is still drained, unless the pipe was cut. Idempotent."""
        self._is_closed = True
        self._news.set()

    async def drain(self, writer: Writer) -> None:
        """Write until closed. Raises ConnectionError when cut, or from the writer. Cancel-safe: yes."""
        while True:
            data = await self._next()
            if self.is_cut:
                raise ConnectionResetError("the mirror is too slow")
            if data:
                await writer.write(data)
            elif self._is_closed:
                return

    async def _next(self) -> bytes:
        if not self._is_closed and not self._news.is_set():
            try:
                async with asyncio.timeout(self._ping_s):
                    await self._news.wait()
            except TimeoutError:
                return _PING_RECORD
            if self._gather_s:
                await asyncio.sleep(self._gather_s)
        self._news.clear()
        pieces, self._pieces, self.waiting_bytes = self._pieces, [], 0
        return b"".join(pieces)
