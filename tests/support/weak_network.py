"""A bad network in front of one server: a TCP relay that loses segments, stands still, or strands its connections.

To who uses TCP a lost segment is one that comes late, with everything behind it: it is sent again after a pause that
doubles, and may be lost again. So a share of `lost` is played as those pauses; bytes and their order are kept, as TCP
keeps them. Fast retransmission is left out, which makes it worse than life.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_SEGMENT_BYTES = 1_400
_FIRST_PAUSE_S = 0.2  # Linux's least time before a segment is sent again


class WeakNetwork:
    """`segments` and `lost_count` tell how bad it was."""

    def __init__(self, target_port: int, *, lost: float, trip_s: float, seed: int) -> None:
        self.url = ""
        self.segments = self.lost_count = 0
        self._target_port = target_port
        self._lost, self._trip_s = lost, trip_s
        self._chance = random.Random(seed)
        self._passes = asyncio.Event()
        self._passes.set()

    def hold(self) -> None:
        """A tunnel: nothing arrives either way, and nobody is told."""
        self._passes.clear()

    def strand(self) -> None:
        """Another network: connections there are get nothing any more, for ever, and new ones pass."""
        self._passes.clear()
        self._passes = asyncio.Event()
        self._passes.set()

    def release(self) -> None:
        self._passes.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, far_writer))
                    group.create_task(self._pump(far_reader, writer))
            finally:
                far_writer.close()
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passes = self._passes
        with suppress(OSError, RuntimeError):
            while segment := await reader.read(_SEGMENT_BYTES):
                await asyncio.sleep(self._delay_s())
                await passes.wait()
                writer.write(segment)
                await writer.drain()
        with suppress(OSError, RuntimeError):  # uvloop's word for a connection that has broken meanwhile
            writer.write_eof()

    def _delay_s(self) -> float:
        self.segments += 1
        delay_s, pause_s = self._trip_s, _FIRST_PAUSE_S
        while self._chance.random() < self._lost:
            self.lost_count += 1
            delay_s += pause_s
            pause_s *= 2
        return delay_s


@asynccontextmanager
async def weak_network(
    target_port: int, *, lost: float = 0.3, trip_s: float = 0.03, seed: int = 1
) -> AsyncIterator[WeakNetwork]:
    network = WeakNetwork(target_port, lost=lost, trip_s=trip_s, seed=seed)
    async with asyncio.TaskGroup() as group:
        tasks: set[asyncio.Task[None]] = set()

        def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = group.create_task(network.serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), met)

        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        network.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield network
        finally:
            server.close()
            for task in tasks:
                task.cancel()
