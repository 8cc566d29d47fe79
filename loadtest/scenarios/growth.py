"""From 20 to 100 publishers on one worker: CPU stays linear, and memory is the window and the cache that it must be.

Our replayer publishes: a hundred ffmpegs would take both cores by themselves. Its cost to a server is the same as
ffmpeg's within noise; `ingest` and `ingest --lean` show it.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise

from loadtest import clips
from loadtest.machine import resident_bytes
from loadtest.peers import Streamd
from loadtest.report import Figure, Report, Table
from loadtest.scenarios.ingest import publish
from loadtest.stage import open_stage

SUMMARY = "CPU and memory of streamd from 20 to 100 publishers"
_WINDOW_SEGMENTS, _SEGMENT_S = 10, 2
_SETTLE_S = 6.0
_PER_GENERATOR = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about four minutes."""
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 40, 60, 80, 100], help="publishers, going up")
    parser.add_argument("--window-s", type=float, default=15.0)


def run(arguments: argparse.Namespace) -> Report:
    """One server; publishers are added step by step."""
    names = [f"stream-{index}" for index in range(max(arguments.steps))]
    rows: list[tuple[object, ...]] = []
    costs: dict[int, float] = {}
    with open_stage() as stage:
        server = stage.server(Streamd(stage.folder / "streamd", rooms=names))
        empty_bytes = resident_bytes(server.pids())
        for before, count in pairwise([0, *arguments.steps]):
            for first in range(before, count, _PER_GENERATOR):
                publish(stage, server, names[first : min(count, first + _PER_GENERATOR)], lean=True)
            # Memory is full once every stream has filled its window.
            stage.wait(_SETTLE_S + _WINDOW_SEGMENTS * _SEGMENT_S, f"{count} publishers: windows fill")
            busy = stage.cpu_of({"streamd": server.pids()}, arguments.window_s, f"{count} publishers")["streamd"]
            costs[count] = busy / count
            memory = (resident_bytes(server.pids()) - empty_bytes) / count
            rows.append((count, busy / 10, costs[count], memory / 2**20))
    least, most = min(costs), max(costs)
    return Report(
        scenario="growth",
        title=f"Growth: {least} to {most} publishers of {clips.TOTAL_BPS / 1e6:.0f} Mb/s on one worker",
        command="",
        figures=(
            Figure(
                name=f"cost of a stream at {most} against {least} publishers",
                value=costs[most] / costs[least],
                most=1.1,
            ),
            Figure(name="resident memory a stream", value=memory / 2**20, unit="MiB", most=_memory_target() / 2**20),
            Figure(name="publishers a core, by these figures", value=math.floor(1000 / costs[most])),
        ),
        tables=(
            Table(
                title="Steps",
                columns=("publishers", "% of a core", "ms CPU a stream-second", "MiB a stream"),
                rows=tuple(rows),
            ),
        ),
        notes=(
            f"Memory target: {_WINDOW_SEGMENTS} segments of {_SEGMENT_S} s, the segment being written, and a group of "
            f"pictures of {_SEGMENT_S} s in the FLV cache, at {clips.TOTAL_BPS / 1e6:.0f} Mb/s, plus 30 %.",
            "Nobody watches. Memory is what came on top of the empty server.",
        ),
    )


def _memory_target() -> float:
    """Bytes a stream."""
    seconds = (_WINDOW_SEGMENTS + 1) * _SEGMENT_S + _SEGMENT_S
    return 1.3 * seconds * clips.TOTAL_BPS / 8
