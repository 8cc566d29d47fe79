"""What delivering a message costs: our rooms beside stock python-socketio and Node's socket.io, by the same members.

One server at a time, because the members' process needs the other core. Each server is asked to say the same thing at
the same rate; its processor time between two readings is divided by the messages its members really received.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from loadtest.processes import Generator
from loadtest.report import Figure, Report, Table, sampled
from loadtest.room_peers import NODE, OURS, STOCK, RoomProcess, ask, install_node_peer, start, start_redis
from loadtest.stage import Stage, open_stage

SUMMARY = "CPU per delivered room message against stock python-socketio and Node's socket.io"
_KINDS = (OURS, STOCK, NODE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about four minutes."""
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=6.0)
    parser.add_argument("--size", type=int, default=200, help="bytes of a message")


def run(arguments: argparse.Namespace) -> Report:
    """Single messages, then a hundred a second from a hundred members; then two nodes over Redis."""
    with open_stage() as stage:
        modules = install_node_peer(stage.folder / "npm")
        costs: dict[tuple[str, str], list[float]] = {}
        rows: list[tuple[object, ...]] = []
        for kind in _KINDS:
            _measure(stage, arguments, kind, modules, costs, rows)
        for kind in (OURS, STOCK):
            _measure_two_nodes(stage, arguments, kind, costs, rows)
    return Report(
        scenario="rooms_cpu",
        title="Rooms: processor time per delivered message",
        command="",
        figures=tuple(_figures(costs)),
        tables=(
            Table(
                title="Windows", columns=("server", "load", "delivered/s", "CPU ms/s", "µs/message"), rows=tuple(rows)
            ),
        ),
        notes=(
            f"{arguments.members} members over WebSocket in another process, {arguments.size}-byte messages.",
            "'single': 20 events a second said by the server, each written by itself. '100/s': danmaku of 100 members, "
            "with their acknowledgements; ours passes moderation and limits and is gathered in ticks, the others emit "
            "each.",
            "Our members are told likes and online counts as well; the peers have none.",
            "'two nodes': half of the members on each, the sum of both servers without Redis itself.",
        ),
    )


def _measure(
    stage: Stage,
    arguments: argparse.Namespace,
    kind: str,
    modules: Path,
    costs: dict[tuple[str, str], list[float]],
    rows: list[tuple[object, ...]],
) -> None:
    server = start(stage, kind, modules=modules)
    crowd = _crowd(stage, arguments, [server])
    server.publish("notice", per_s=20, size=arguments.size)
    _windows(stage, arguments, kind, "single", [server], crowd, costs, rows)
    server.publish("notice", per_s=0)
    crowd.finish()
    crowd.stop()
    if kind == OURS:
        server.show_all()
    crowd = _crowd(stage, arguments, [server], say_per_s=100)
    _windows(stage, arguments, kind, "100/s", [server], crowd, costs, rows)
    crowd.finish()
    crowd.stop()
    server.stop()


def _measure_two_nodes(
    stage: Stage,
    arguments: argparse.Namespace,
    kind: str,
    costs: dict[tuple[str, str], list[float]],
    rows: list[tuple[object, ...]],
) -> None:
    redis_url = start_redis(stage)
    servers = [start(stage, kind, redis_url=redis_url) for _ in range(2)]
    if kind == OURS:
        servers[0].show_all()
    crowd = _crowd(stage, arguments, servers, say_per_s=100)
    _windows(stage, arguments, kind, "two nodes, 100/s", servers, crowd, costs, rows)
    crowd.finish()
    crowd.stop()
    for server in servers:
        server.stop()


def _crowd(stage: Stage, arguments: argparse.Namespace, servers: list[RoomProcess], *, say_per_s: int = 0) -> Generator:
    job = {
        "ports": [server.port for server in servers],
        "members": arguments.members,
        "speakers": 100,
        "say_per_s": say_per_s,
        "size": arguments.size,
    }
    return stage.generator("chatters", job)


def _windows(
    stage: Stage,
    arguments: argparse.Namespace,
    kind: str,
    load: str,
    servers: list[RoomProcess],
    crowd: Generator,
    costs: dict[tuple[str, str], list[float]],
    rows: list[tuple[object, ...]],
) -> None:
    stage.wait(2.0, f"{kind}, {load}: settling")
    for _ in range(arguments.windows):
        cpu, marks = sum(server.cpu_ms() for server in servers), ask(crowd)["marks"]
        passed = stage.wait(arguments.window_s, f"{kind}, {load}")
        cpu = sum(server.cpu_ms() for server in servers) - cpu
        marks = ask(crowd)["marks"] - marks
        cost_us = cpu * 1_000 / max(1, marks)
        costs.setdefault((kind, load), []).append(cost_us)
        rows.append((kind, load, marks / passed, cpu / passed, cost_us))


def _figures(costs: dict[tuple[str, str], list[float]]) -> list[Figure]:
    figures = [sampled(f"{kind}, {load}", samples, unit="µs/message") for (kind, load), samples in costs.items()]

    def ratio(name: str, ours: str, theirs: str, load: str, most: float) -> Figure:
        value = median(costs[ours, load]) / median(costs[theirs, load])
        return Figure(name=name, value=value, most=most)

    return [
        ratio("ours / stock, single", OURS, STOCK, "single", 1 / 6),
        ratio("ours / Node, single", OURS, NODE, "single", 0.7),
        ratio("ours / stock, 100/s", OURS, STOCK, "100/s", 1 / 30),
        ratio("ours / stock, two nodes, 100/s", OURS, STOCK, "two nodes, 100/s", 1 / 6),
        *figures,
    ]
