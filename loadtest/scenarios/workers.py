"""One worker, then two with twice the load: what a publisher, a viewer and a member cost all processes together.

Two workers have two cores, so they carry twice what one does where a unit costs the same, and less by what they spend
on each other: mirrors of streams, rooms heard through Redis, the register. Each has the load of the one alone: what
does not grow with it (a room's hundred messages a second, heard by every worker) is then paid as it would be by workers
that are full. Cost is what comes on top of the idle node, Redis itself not counted; the lone worker has no Redis, as a
node by itself would. A saturated machine is not needed, and would not be one: the generators share its cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from loadtest import clips
from loadtest.nodes import Redis
from loadtest.peers import Streamd, open_rooms
from loadtest.processes import Generator
from loadtest.report import Figure, Report, Table, sampled
from loadtest.shop_floor import ROOM, set_up
from loadtest.stage import Stage, open_stage

SUMMARY = "what two workers carry beside one: publishers, LL-HLS viewers, room members"
_PUBLISHERS, _VIEWERS, _MEMBERS = "publisher", "LL-HLS viewer", "member of a busy room"
_SPEAKERS = 100
_SETTLE_S = 6.0
_LEAST = 1.8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about three minutes."""
    parser.add_argument("--publishers", type=int, default=40, help="for each worker")
    parser.add_argument(
        "--viewers", type=int, default=400, help="for each worker, of one stream, fetching every playlist and part"
    )
    parser.add_argument(
        "--members", type=int, default=3_000, help="for each worker, of one room, a hundred danmaku a second"
    )
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=6.0)


def run(arguments: argparse.Namespace) -> Report:
    """The same three loads on each worker."""
    with open_stage() as stage:
        redis = Redis(stage.folder)
        stage.ends_with(redis.stop)
        benches = {
            1: _Bench(stage, arguments, 1, {}),
            2: _Bench(stage, arguments, 2, {"STREAMD_WORKERS": "2", "STREAMD_REDIS_URL": redis.url}),
        }
        for bench in benches.values():
            bench.measure()
    rows = [(count, *row) for count, bench in benches.items() for row in bench.rows]
    return Report(
        scenario="workers",
        title="Two workers beside one",
        command="",
        figures=tuple(_figures(benches[1], benches[2])),
        tables=(
            Table(title="Windows", columns=("workers", "load", "% of a core", "µs a unit-second"), rows=tuple(rows)),
        ),
        notes=(
            "Two workers carry 2 × (cost on one / cost on two): processor time of all of the node's processes.",
            f"For each worker {arguments.publishers} publishers of {clips.TOTAL_BPS / 1e6:.0f} Mb/s; "
            f"{arguments.viewers} viewers of one stream, with two workers half of them on the one that mirrors it; "
            f"{arguments.members} members of one room that is on both workers, 100 danmaku a second of which 40 are "
            "shown to all.",
            "What the idle node takes is taken off; the table's first column says how much that is.",
        ),
    )


def _figures(one: _Bench, two: _Bench) -> Iterator[Figure]:
    for load in (_PUBLISHERS, _VIEWERS, _MEMBERS):
        carried = 2 * median(one.costs_us[load]) / median(two.costs_us[load])
        yield Figure(name=f"two workers carry, times one: {load}", value=carried, least=_LEAST)
    for name, bench in (("one worker", one), ("two workers", two)):
        for load, costs in bench.costs_us.items():
            yield sampled(f"{load}, {name}", costs, unit="µs CPU a second")


class _Bench:
    """One node under the three loads."""

    def __init__(self, stage: Stage, arguments: argparse.Namespace, workers: int, settings: dict[str, str]) -> None:
        self._stage = stage
        self._arguments = arguments
        self._name = f"{workers} worker{'s' if workers > 1 else ''}"
        self._viewers, self._members = workers * arguments.viewers, workers * arguments.members
        folder = stage.folder / str(workers)
        data = folder / "data"
        url = f"sqlite+aiosqlite:///{data}/streamd.db"
        self._tokens = set_up(url, data_dir=data, buyers=_SPEAKERS, goods=1).tokens
        self._settings = {"STREAMD_DATA_DIR": str(data), "STREAMD_DATABASE_URL": url, **settings}
        self._folder: Path = folder / "node"
        self._rooms = [f"stream-{number}" for number in range(workers * arguments.publishers)]
        open_rooms(url, self._rooms)
        self.costs_us: dict[str, list[float]] = {}
        self.rows: list[tuple[object, ...]] = []

    def measure(self) -> None:
        """One load after the other, each alone."""
        node = Streamd(self._folder, settings=self._settings)
        try:
            self._under(node, _PUBLISHERS, len(self._rooms), lambda: self._publish(node, self._rooms))
            show = self._publish(node, self._rooms[:1])
            self._stage.wait(2 * _SETTLE_S, "the window fills")
            self._under(node, _VIEWERS, self._viewers, lambda: self._view(node))
            show.stop()
            self._under(node, _MEMBERS, self._members, lambda: self._gather(node))
        finally:
            node.stop()

    def _under(self, node: Streamd, load: str, units: int, begin: Callable[[], Generator]) -> None:
        idle = self._window(node, f"{self._name}: before")
        generator = begin()
        self._stage.wait(_SETTLE_S, f"{self._name}: {load}, settling")
        for _ in range(self._arguments.windows):
            busy = self._window(node, f"{self._name}: {load}")
            cost_us = 1_000 * (busy - idle) / units
            self.costs_us.setdefault(load, []).append(cost_us)
            self.rows.append((f"{units} × {load}", busy / 10, cost_us))
        generator.stop()

    def _window(self, node: Streamd, what: str) -> float:
        return self._stage.cpu_of({"node": node.pids()}, self._arguments.window_s, what)["node"]

    def _publish(self, node: Streamd, rooms: list[str]) -> Generator:
        urls = [node.publish_url(room) for room in rooms]
        clip = str(clips.source_clip())
        return self._stage.generator("publishers", {"urls": urls, "clip": clip, "loop_ms": clips.SECONDS * 1_000})

    def _view(self, node: Streamd) -> Generator:
        url = node.http_url(f"/live/{self._rooms[0]}/index.m3u8")
        return self._stage.generator("hls_crowd", {"url": url, "viewers": self._viewers, "media": True})

    def _gather(self, node: Streamd) -> Generator:
        job = {"ports": [node.http_port], "members": self._members, "room": ROOM, "tokens": self._tokens}
        return self._stage.generator("chatters", {**job, "speakers": _SPEAKERS, "say_per_s": 100})
