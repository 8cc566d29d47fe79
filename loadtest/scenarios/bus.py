"""What a room's events cost Redis: batches as nodes append them, heard by one node, by two, by eight.

Redis's own processor time is divided by the batches. What nodes do with them is not in it (`rooms_cpu` has that); the
difference between the rows is what one more node that hears a room adds.
"""

from __future__ import annotations

import argparse
import asyncio

import uvloop

from loadtest.machine import cpu_ms
from loadtest.processes import free_ports, wait_for_port
from loadtest.report import Figure, Report, Table
from loadtest.room_peers import redis_address
from loadtest.stage import open_stage
from streamd.clock import SystemClock
from streamd.cluster.bus import Batch, C, Draft
from streamd.cluster.redis import RedisBus

SUMMARY = "CPU of Redis for a batch of room events, by its size and by the nodes that hear it"
_CASES = ((1, 1), (1, 2), (1, 8), (20, 1), (20, 2), (20, 8))  # events in a batch, nodes
_AT_ONCE = 16
_AT_MS = 1_800_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about a minute."""
    parser.add_argument("--batches", type=int, default=10_000, help="in each case")
    parser.add_argument("--rooms", type=int, default=64)
    parser.add_argument("--size", type=int, default=200, help="bytes of an event")


def run(arguments: argparse.Namespace) -> Report:
    """One Redis; the nodes are buses in this process."""
    with open_stage() as stage:
        [port] = free_ports(1)
        argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        redis = stage.child("redis", argv)
        wait_for_port(port, redis)
        rows: list[tuple[int, int, float, float]] = []
        for size, nodes in _CASES:
            stage.say(f"{size} events a batch, {nodes} nodes")
            spent_ms = uvloop.run(_spend(redis_address(port), redis.pid, size, nodes, arguments))
            each_us = spent_ms * 1_000 / arguments.batches
            rows.append((size, nodes, each_us, each_us / size))
    cost = {(size, nodes): each_us for size, nodes, each_us, _ in rows}
    return Report(
        scenario="bus",
        title="What room events cost Redis",
        command="",
        figures=(
            Figure(name="a batch of one event, one node", value=cost[1, 1], unit="µs CPU of Redis"),
            Figure(name="one more node that hears it", value=(cost[1, 8] - cost[1, 1]) / 7, unit="µs"),
            Figure(name="a batch of 20 events, one node", value=cost[20, 1], unit="µs CPU of Redis"),
            Figure(name="one more node that hears those", value=(cost[20, 8] - cost[20, 1]) / 7, unit="µs"),
        ),
        tables=(Table(title="All cases", columns=("events", "nodes", "µs a batch", "µs an event"), rows=tuple(rows)),),
        notes=("Without persistence; the cost of an append-only file comes on top.",),
    )


async def _spend(url: str, pid: int, size: int, nodes: int, arguments: argparse.Namespace) -> float:
    """Milliseconds of Redis's processor for all batches of one case, heard by everybody."""
    rooms = [f"room-{index}" for index in range(arguments.rooms)]
    heard = _Heard(arguments.batches * nodes)
    clock = SystemClock()
    buses = [RedisBus(url, clock=clock) for _ in range(nodes)]
    async with asyncio.TaskGroup() as group:
        hearing = [asyncio.Event() for _ in buses]
        for bus, hears in zip(buses, hearing, strict=True):
            bus.on_return(hears.set)
        running = [group.create_task(bus.run()) for bus in buses]
        for bus, hears in zip(buses, hearing, strict=True):
            await hears.wait()
            for room in rooms:
                await bus.listen(room, heard)
        before_ms = cpu_ms([pid])
        await _append(buses[0], rooms, name=f"n{nodes}s{size}", size=size, arguments=arguments)
        async with asyncio.timeout(10):
            await heard.everything.wait()
        spent_ms = cpu_ms([pid]) - before_ms
        for task in running:
            task.cancel()
    for bus in buses:
        await bus.aclose()
    return spent_ms


async def _append(bus: RedisBus, rooms: list[str], *, name: str, size: int, arguments: argparse.Namespace) -> None:
    drafts = [Draft(C, "danmaku", b"x" * arguments.size)] * size
    turns = iter(range(arguments.batches))

    async def one_after_the_other(slot: int) -> None:
        for turn in turns:
            room, batch_id = rooms[turn % len(rooms)], f"{name}w{slot}:{turn + 1}"
            await bus.append(room, drafts, taken=size, batch_id=batch_id, min_seq=0, at_ms=_AT_MS + turn)

    async with asyncio.TaskGroup() as group:
        for slot in range(_AT_ONCE):
            group.create_task(one_after_the_other(slot))


class _Heard:
    """Counts what nodes heard."""

    def __init__(self, wanted: int) -> None:
        self.everything = asyncio.Event()
        self._left = wanted

    def __call__(self, _: Batch) -> None:
        self._left -= 1
        if self._left == 0:
            self.everything.set()
