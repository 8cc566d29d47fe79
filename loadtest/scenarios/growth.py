"""From 20 to 100 publishers on one worker: CPU stays linear, and memory is the window and the cache that it must be.

Our replayer publishes: a hundred ffmpegs would take both cores by themselves. What it costs a server is compared with
ffmpeg by `ingest` and `ingest --lean`.
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
# What a server must have in memory, in seconds of media: the listed segments and the one being made; those that left
# the list, for their own duration and that of the longest list that held them (RFC 8216bis 6.2.2); the FLV cache.
_LISTED_S = _WINDOW_SEGMENTS * _SEGMENT_S + _SEGMENT_S
_LEAVING_S = _SEGMENT_S + _WINDOW_SEGMENTS * _SEGMENT_S
_CACHED_S = _SEGMENT_S
_HELD_S = _LISTED_S + _LEAVING_S + _CACHED_S
_SETTLE_S = _HELD_S + 6.0  # memory is full once every stream has run for so long
_PER_GENERATOR = 50
_BYTES_A_S = clips.TOTAL_BPS / 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about four minutes."""
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 60, 100], help="publishers, going up")
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
            stage.wait(_SETTLE_S, f"{count} publishers: windows fill")
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
            Figure(name="resident memory a stream", value=memory / 2**20, unit="MiB"),
            Figure(name="resident memory to media that must be held", value=memory / (_HELD_S * _BYTES_A_S), most=1.3),
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
            f"Must be held: {_LISTED_S} s in the playlist, {_LEAVING_S} s on their way out of it (RFC 8216bis 6.2.2), "
            f"{_CACHED_S} s of group of pictures for FLV: {_HELD_S * _BYTES_A_S / 2**20:.1f} MiB at this rate.",
            "Nobody watches. Memory is what came on top of the empty server.",
        ),
    )
