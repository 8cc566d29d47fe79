"""What delivering a message costs: our rooms beside stock python-socketio and Node's socket.io, by the same members.

One kind of server at a time, because the members' process needs the other core: a node by itself, then two nodes that
meet in a Redis, then a third beside them whose members are all in another room. Each is asked to say the same thing at
the same rate; the processor time of the servers between two readings is divided by the messages that the members
really received. What Redis sends the third node goes through a tap that counts it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from loadtest.charts import Chart, bars
from loadtest.npm import install
from loadtest.processes import Generator, free_ports
from loadtest.report import Figure, Report, Table, sampled
from loadtest.room_peers import (
    NODE,
    OURS,
    SOCKET_IO,
    STOCK,
    RoomProcess,
    redis_address,
    start,
    start_redis,
)
from loadtest.stage import Stage, open_stage

SUMMARY = "CPU per delivered room message against stock python-socketio and Node's socket.io"
_KINDS = (OURS, STOCK, NODE)
_SINGLE, _BUSY, _TWO_SINGLE, _TWO_BUSY = "single", "100/s", "two nodes, single", "two nodes, 100/s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about six minutes."""
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=6.0)
    parser.add_argument("--size", type=int, default=200, help="bytes of a message")


def run(arguments: argparse.Namespace) -> Report:
    """Single messages, then a hundred a second from a hundred members; by one node, by two."""
    with open_stage() as stage:
        bench = _Bench(stage, arguments, install(stage.folder / "npm", SOCKET_IO))
        for kind in _KINDS:
            bench.one_node(kind)
        for kind in _KINDS:
            bench.two_nodes(kind)
    columns = ("server", "load", "delivered/s", "CPU ms/s", "µs/message")
    return Report(
        scenario="rooms_cpu",
        title="Rooms: processor time per delivered message",
        command="",
        figures=tuple(_figures(bench)),
        tables=(
            Table(title="Windows", columns=columns, rows=tuple(bench.rows)),
            Table(
                title="A third node, without a member of the room",
                columns=("server", "bytes/s from Redis", "of them in pieces that name the room", "CPU ms/s"),
                rows=tuple(bench.third_rows),
            ),
        ),
        charts=tuple(_compared(bench)),
        notes=(
            f"{arguments.members} members over WebSocket in another process, {arguments.size}-byte messages.",
            "'single': 20 events a second said by the server, each written by itself. '100/s': danmaku of 100 members, "
            "with their acknowledgements; ours passes moderation and limits and is gathered in ticks, the others emit "
            "each.",
            "Our members are told likes and online counts as well; the peers have none.",
            "'two nodes': half of the members on each, the sum of both servers without Redis itself. python-socketio "
            "by its AsyncRedisManager, Node by @socket.io/redis-adapter.",
            "The third node has ten members in a room of their own, while the show goes on at 100 messages a second. "
            "What ours hears is its own canary, the answers to its commands, and its own room.",
        ),
    )


class _Bench:
    """The measurements of one run."""

    def __init__(self, stage: Stage, arguments: argparse.Namespace, modules: Path) -> None:
        self._stage = stage
        self._arguments = arguments
        self._modules = modules
        self.costs: dict[tuple[str, str], list[float]] = {}
        self.rows: list[tuple[object, ...]] = []
        self.third_rows: list[tuple[object, ...]] = []
        self.third_bytes_per_s: dict[str, float] = {}

    def one_node(self, kind: str) -> None:
        """Both loads."""
        server = start(self._stage, kind, modules=self._modules)
        self._single(kind, [server], _SINGLE)
        crowd = self._hundred(kind, [server], _BUSY)
        _end(crowd)
        server.stop()

    def two_nodes(self, kind: str) -> None:
        """Both loads, and beside the second a third node that has nothing to do with it."""
        redis = start_redis(self._stage)
        servers = [self._node(kind, redis) for _ in range(2)]
        self._single(kind, servers, _TWO_SINGLE)
        crowd = self._hundred(kind, servers, _TWO_BUSY)
        self._third(kind, redis)
        _end(crowd)
        for server in servers:
            server.stop()

    def _node(self, kind: str, redis_port: int) -> RoomProcess:
        return start(self._stage, kind, modules=self._modules, redis_url=redis_address(redis_port))

    def _single(self, kind: str, servers: list[RoomProcess], load: str) -> None:
        crowd = self._crowd(servers)
        servers[0].publish("notice", per_s=20, size=self._arguments.size)
        self._windows(kind, load, servers, crowd)
        servers[0].publish("notice", per_s=0)
        _end(crowd)

    def _hundred(self, kind: str, servers: list[RoomProcess], load: str) -> Generator:
        if kind == OURS:
            servers[0].show_all()
        crowd = self._crowd(servers, say_per_s=100)
        self._windows(kind, load, servers, crowd)
        return crowd

    def _crowd(self, servers: list[RoomProcess], *, say_per_s: int = 0) -> Generator:
        job = {
            "ports": [server.port for server in servers],
            "members": self._arguments.members,
            "speakers": 100,
            "say_per_s": say_per_s,
            "size": self._arguments.size,
        }
        return self._stage.generator("chatters", job)

    def _windows(self, kind: str, load: str, servers: list[RoomProcess], crowd: Generator) -> None:
        self._stage.wait(2.0, f"{kind}, {load}: settling")
        for _ in range(self._arguments.windows):
            cpu, marks = sum(server.cpu_ms() for server in servers), crowd.ask()["marks"]
            passed = self._stage.wait(self._arguments.window_s, f"{kind}, {load}")
            cpu = sum(server.cpu_ms() for server in servers) - cpu
            marks = crowd.ask()["marks"] - marks
            cost_us = cpu * 1_000 / max(1, marks)
            self.costs.setdefault((kind, load), []).append(cost_us)
            self.rows.append((kind, load, marks / passed, cpu / passed, cost_us))

    def _third(self, kind: str, redis_port: int) -> None:
        [port] = free_ports(1)
        tap = self._stage.generator("tap", {"port": port, "to": redis_port, "word": "show"})
        server = self._node(kind, port)
        crowd = self._stage.generator("chatters", {"ports": [server.port], "members": 10, "room": "other"})
        self._stage.wait(2.0, f"{kind}: a third node, settling")
        before, cpu = tap.ask(), server.cpu_ms()
        passed = self._stage.wait(self._arguments.window_s, f"{kind}: a third node")
        after, cpu = tap.ask(), server.cpu_ms() - cpu
        of_the_room = (after["word_bytes"] - before["word_bytes"]) / passed
        self.third_bytes_per_s[kind] = of_the_room
        self.third_rows.append((kind, (after["all_bytes"] - before["all_bytes"]) / passed, of_the_room, cpu / passed))
        _end(crowd)
        server.stop()
        tap.stop()


def _end(crowd: Generator) -> None:
    crowd.finish()
    crowd.stop()


def _compared(bench: _Bench) -> Iterator[Chart]:
    for load in (_SINGLE, _BUSY, _TWO_SINGLE, _TWO_BUSY):
        yield bars(f"A delivered message: {load}", "µs", {kind: bench.costs[kind, load] for kind in _KINDS})


def _figures(bench: _Bench) -> list[Figure]:
    costs = bench.costs

    def ratio(load: str, theirs: str, most: float | None = None) -> Figure:
        value = median(costs[OURS, load]) / median(costs[theirs, load])
        return Figure(name=f"ours / {theirs}, {load}", value=value, most=most)

    return [
        ratio(_SINGLE, STOCK, 1 / 6),
        ratio(_SINGLE, NODE, 0.7),
        ratio(_BUSY, STOCK, 1 / 30),
        ratio(_BUSY, NODE),
        ratio(_TWO_SINGLE, STOCK, 1 / 6),
        ratio(_TWO_SINGLE, NODE, 0.7),
        ratio(_TWO_BUSY, STOCK, 1 / 30),
        ratio(_TWO_BUSY, NODE),
        Figure(
            name="of a room, to a node without a member of it", value=bench.third_bytes_per_s[OURS], unit="B/s", most=0
        ),
        *(sampled(f"{kind}, {load}", samples, unit="µs/message") for (kind, load), samples in costs.items()),
    ]
