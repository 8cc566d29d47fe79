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
# What a server must have in memory of a stream that nobody watches, in seconds of media: the listed segments and the
# one being made; the FLV cache. (With viewers, segments that left the list stay for another list's length.)
_LISTED_S = _WINDOW_SEGMENTS * _SEGMENT_S + _SEGMENT_S
_CACHED_S = _SEGMENT_S
_HELD_S = _LISTED_S + _CACHED_S
_SETTLE_S = 2 * _HELD_S  # memory is full once every stream has run for so long
_PER_GENERATOR = 50
_THIN_STEPS = [500, 1_000, 2_000]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about four minutes."""
    parser.add_argument("--steps", type=int, nargs="+", help="publishers, going up (20 60 100; thin: 500 1000 2000)")
    parser.add_argument("--thin", action="store_true", help="streams of 64 kb/s and 13 frames a second, by thousands")
    parser.add_argument("--window-s", type=float, default=15.0)


def run(arguments: argparse.Namespace) -> Report:
    """One server; publishers are added step by step."""
    spec, steps, per_generator = clips.SPEC, arguments.steps or [20, 60, 100], _PER_GENERATOR
    if arguments.thin:
        spec, steps, per_generator = clips.THIN, arguments.steps or _THIN_STEPS, max(_THIN_STEPS)
    bps = spec.video_bps + spec.audio_bps
    names = [f"stream-{index}" for index in range(max(steps))]
    rows: list[tuple[object, ...]] = []
    costs: dict[int, float] = {}
    with open_stage() as stage:
        server = stage.server(Streamd(stage.folder / "streamd", rooms=names))
        empty_bytes = resident_bytes(server.pids())
        for before, count in pairwise([0, *steps]):
            for first in range(before, count, per_generator):
                publish(stage, server, names[first : min(count, first + per_generator)], lean=True, spec=spec)
            stage.wait(_SETTLE_S, f"{count} publishers: windows fill")
            busy = stage.cpu_of({"streamd": server.pids()}, arguments.window_s, f"{count} publishers")["streamd"]
            costs[count] = busy / count
            memory = (resident_bytes(server.pids()) - empty_bytes) / count
            rows.append((count, busy / 10, costs[count], memory / 2**20))
    least, most = min(costs), max(costs)
    return Report(
        scenario="growth",
        title=f"Growth: {least} to {most} publishers of {bps / 1e6:g} Mb/s on one worker",
        command="",
        figures=(
            Figure(
                name=f"cost of a stream at {most} against {least} publishers",
                value=costs[most] / costs[least],
                most=1.1,
            ),
            Figure(name="resident memory a stream", value=memory / 2**20, unit="MiB"),
            Figure(
                name="resident memory to media that must be held",
                value=memory / (_HELD_S * bps / 8),
                most=None if arguments.thin else 1.3,
            ),
            Figure(name="publishers a core, by these figures", value=math.floor(1000 / costs[most])),
        ),
        tables=(
            Table(
                title="Steps",
                columns=("publishers", "% of a core", "ms CPU a stream-second", "MiB a stream"),
                rows=tuple(rows),
            ),
            stage.meter.table(),
        ),
        charts=stage.meter.charts(),
        notes=(
            f"Must be held: {_LISTED_S} s in the playlist, {_CACHED_S} s of group of pictures for FLV: "
            f"{_HELD_S * bps / 8 / 2**20:.1f} MiB at this rate.",
            "Nobody watches. A stream with HLS viewers holds segments that left the playlist for as long again "
            "(RFC 8216bis 6.2.2), about twice as much. Memory is what came on top of the empty server.",
        ),
    )
