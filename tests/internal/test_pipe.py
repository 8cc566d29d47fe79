"""Records on their way to a mirror."""

from __future__ import annotations

import asyncio

import pytest

from streamd.internal.pipe import PING, RecordPipe
from streamd.media.records import RecordReader, record


class PaperWriter:
    def __init__(self) -> None:
        self.taken: list[tuple[int, bytes]] = []
        self.open = asyncio.Event()
        self.open.set()
        self._reader = RecordReader()

    async def write(self, data: bytes) -> None:
        await self.open.wait()
        self.taken += self._reader.feed(data)


async def test_records_come_in_order_and_what_is_queued_is_drained_at_the_end() -> None:
    pipe, writer = RecordPipe(limit_bytes=1_000), PaperWriter()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(pipe.drain(writer))
        pipe.write(record(1, b"one"))
        await asyncio.sleep(0)
        pipe.write(record(2, b"two"))
        pipe.write(record(3))
        pipe.close()
        pipe.write(record(4, b"too late"))
        await draining
    assert writer.taken == [(1, b"one"), (2, b"two"), (3, b"")]
    assert pipe.waiting_bytes == 0


async def test_mirror_that_takes_too_little_is_cut_off_and_its_memory_is_bounded() -> None:
    pipe, writer = RecordPipe(limit_bytes=10_000), PaperWriter()
    writer.open.clear()
    with pytest.RaisesGroup(ConnectionResetError):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pipe.drain(writer))
            for _ in range(100):
                pipe.write(record(1, bytes(1_000)))
                await asyncio.sleep(0)
            assert pipe.is_cut
            assert pipe.waiting_bytes < 12_000
            writer.open.set()


async def test_idle_pipe_says_that_it_is_there() -> None:
    pipe, writer = RecordPipe(limit_bytes=1_000, ping_s=0.01), PaperWriter()
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(pipe.drain(writer))
        async with asyncio.timeout(30):
            while len(writer.taken) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        pipe.close()
        await draining
    assert set(writer.taken) == {(PING, b"")}
