"""Listens in between a node and its Redis: `python -m loadtest.tap '{"port": 6380, "to": 6379, "word": "show"}'`.

Whatever Redis sends passes through and is counted; what names a word (a room) is counted apart, by whole pieces as they
come from the kernel. That may count too little of what does name the room, for a long message comes in several pieces,
and never counts anything when nothing does. Says when it listens; a line `count` on standard input tells the counts.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, cast

import uvloop


class Counts:
    """Of all connections."""

    def __init__(self, word: bytes) -> None:
        self.word = word
        self.all_bytes = 0
        self.word_bytes = 0

    def take(self, data: bytes) -> None:
        """A piece from Redis."""
        self.all_bytes += len(data)
        if self.word in data:
            self.word_bytes += len(data)


class Side(asyncio.Protocol):
    """One end of a connection; what it hears is written to the other."""

    def __init__(self, counts: Counts | None) -> None:
        self._counts = counts
        self.early: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def join(self, other: Side) -> None:
        """From now on."""
        self.other = other
        for data in self.early:
            self._pass(data)
        self.early.clear()

    def data_received(self, data: bytes) -> None:
        if self._counts is not None:
            self._counts.take(data)
        if self.other is None:
            self.early.append(data)
        else:
            self._pass(data)

    def _pass(self, data: bytes) -> None:
        assert self.other is not None
        if self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def run(job: dict[str, Any]) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    counts = Counts(job["word"].encode())
    async with asyncio.TaskGroup() as group:

        class FromNode(Side):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                group.create_task(self._connect())

            async def _connect(self) -> None:
                _, redis = await loop.create_connection(lambda: Side(counts), "127.0.0.1", job["to"])
                redis.join(self)
                self.join(redis)

        server = await loop.create_server(lambda: FromNode(None), "127.0.0.1", job["port"])
        print(json.dumps({"port": job["port"]}), flush=True)
        lines: asyncio.Queue[str] = asyncio.Queue()
        loop.add_reader(sys.stdin.fileno(), lambda: lines.put_nowait(sys.stdin.readline()))
        while await lines.get():
            print(json.dumps({"all_bytes": counts.all_bytes, "word_bytes": counts.word_bytes}), flush=True)
        server.close()
    print(json.dumps({}), flush=True)
    loop.remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    uvloop.run(run(json.loads(sys.argv[1])))
