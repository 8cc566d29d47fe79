"""Peers that mean no good: memory stays flat, and an encoder beside them notices nothing."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rtmp_ingest.client import PublishClient
from rtmp_ingest.limits import RtmpLimits
from streamd.media.frames import EncodedFrame
from streamd.telemetry.metrics import Metrics
from tests.rtmp_ingest.gates import House, RecordedPublication, house, until
from tests.rtmp_ingest.stage import CAPTURES, replay
from tests.rtmp_ingest.test_connection import Line

HOSTILE_PEERS = Path(__file__).with_name("hostile_peers.py")
# Short patience, so that a test sees its end.
LIMITS = RtmpLimits(handshake_ms=1_000, connect_ms=1_000, publish_ms=1_000)


@pytest.fixture(autouse=True)
def _many_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def attack(at: House, mode: str, count: int, *, hold_s: int = 15) -> int:
    """How many of `count` hostile connections the server ended by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HOSTILE_PEERS),
        str(at.server.port),
        mode,
        str(count),
        str(hold_s),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    ready, closed = out.decode().splitlines()
    assert ready == "ready"
    return int(closed.split()[1])


@asynccontextmanager
async def honest_encoder(at: House) -> AsyncIterator[RecordedPublication]:
    """An encoder that pushes 100 frames a second while the body runs; none may be lost or late by a second."""
    frames = replay([(CAPTURES / "ffmpeg-5.1.9-bframes.c2s.bin").read_bytes()]).frames
    client = await PublishClient.connect(at.url(), timeout_ms=5_000)
    for track in {frame.track.codec: frame.track for frame in frames}.values():
        client.announce(track)
    pushed = 0

    async def push() -> None:
        nonlocal pushed
        while True:
            frame = frames[pushed % len(frames)]
            client.push(frame._replace(dts=pushed * frame.track.timescale_hz // 100, cts=0))
            pushed += 1
            await client.drain()
            await asyncio.sleep(0.01)

    publication = await at.gate.publication()
    async with asyncio.TaskGroup() as tasks:
        pushing = tasks.create_task(push())
        try:
            yield publication
        finally:
            pushing.cancel()
    await publication.has(pushed)
    assert len(publication.frames) == pushed
    assert publication.counts == {}
    await client.close()


MODES = ("silent", "crumbs", "garbage", "garbage-after-handshake", "oversize", "hoard", "storm")


async def test_hostile_peers_of_every_kind_are_sent_away_and_harm_nobody() -> None:
    async with house(limits=LIMITS) as at, honest_encoder(at) as publication:
        ended = await asyncio.gather(*(attack(at, mode, 50) for mode in MODES))
        assert dict(zip(MODES, ended, strict=True)) == dict.fromkeys(MODES, 50)
        await until(lambda: at.server.connections_count == 1)
        assert publication.reasons == []
        assert "rtmp.session_failed" not in at.log.events()


async def test_two_thousand_connections_that_never_speak_leave_memory_flat() -> None:
    async with house(limits=LIMITS) as at, honest_encoder(at):
        assert await attack(at, "silent", 2_000) == 2_000
        await until(lambda: at.server.connections_count == 1)
        at.log.lines.clear()
        after_one = resident_mib()
        for mode in ("silent", "crumbs"):
            assert await attack(at, mode, 2_000) == 2_000
            await until(lambda: at.server.connections_count == 1)
            at.log.lines.clear()
        assert resident_mib() - after_one < 10


async def test_a_hoard_of_unfinished_messages_costs_no_more_than_was_sent() -> None:
    async with house(limits=LIMITS) as at:
        before = resident_mib()
        process = asyncio.get_running_loop().create_task(attack(at, "hoard", 500))
        await until(lambda: at.server.connections_count >= 400)
        assert resident_mib() - before < 60, "500 times 61 chunks of 128 bytes, and what a session weighs"
        assert await process == 500


async def test_more_connections_than_allowed_are_turned_away_while_those_inside_go_on() -> None:
    limits = RtmpLimits(connections_count=100, handshake_ms=1_000)
    async with house(limits=limits) as at, honest_encoder(at):
        assert await attack(at, "silent", 300) == 300
        assert at.server.connections_count <= 100
        await asyncio.sleep(1.1)
        assert "rtmp.connections_refused" in at.log.events()


async def test_ten_thousand_stream_names_leave_nothing_behind() -> None:
    metrics = Metrics()

    async def publish_and_leave(count: int, prefix: str) -> None:
        for number in range(count):
            line = Line(metrics=metrics)
            await line.publish(f"{prefix}-{number}")
            line.connection.connection_lost(None)

    await publish_and_leave(500, "warm")
    gc.collect()
    before = sys.getallocatedblocks()
    await publish_and_leave(10_000, "name")
    gc.collect()
    assert sys.getallocatedblocks() - before < 2_000


async def test_a_publication_that_comes_and_goes_leaves_nothing_behind() -> None:
    line_frames = replay([(CAPTURES / "ffmpeg-5.1.9-bframes.c2s.bin").read_bytes()]).outputs[:20]

    async def once(at: House, number: int) -> None:
        client = await PublishClient.connect(at.url(), timeout_ms=5_000)
        for output in line_frames:
            if isinstance(output, EncodedFrame):
                client.push(output)
            else:
                client.announce(output)  # type: ignore[arg-type]
        await client.close()
        await at.log.session_closed()
        at.log.lines.clear()
        at.gate.publications.clear()
        at.gate.requests.clear()

    async with house() as at:
        for number in range(20):
            await once(at, number)
        gc.collect()
        before = sys.getallocatedblocks()
        for number in range(200):
            await once(at, number)
        gc.collect()
        assert sys.getallocatedblocks() - before < 1_000
