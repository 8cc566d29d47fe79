"""What a WHIP publisher costs: the same programme by WHIP and by RTMP, to two servers of ours in one window.

By WHIP the sound comes as Opus and is made into AAC, which RTMP's need not be: that is part of the price. Also: how
long it takes from the offer until the first part can be read.
"""

from __future__ import annotations

import argparse
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from loadtest import clips
from loadtest.hottest import hottest
from loadtest.machine import resident_bytes
from loadtest.peers import Streamd
from loadtest.processes import Generator
from loadtest.report import Figure, Report, Table, sampled
from loadtest.stage import Stage, open_stage

SUMMARY = "CPU per stream-second by WHIP against the same stream by RTMP, and the time to the first part"
_SETTLE_S = 8.0
_FIRST_PART_MS = 3_000
_PATIENCE_S = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about a minute and a half."""
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--window-s", type=float, default=10.0)
    parser.add_argument("--profile", type=Path, help="run the WHIP server under cProfile (slower!) and write there")


def run(arguments: argparse.Namespace) -> Report:
    """Both doors side by side."""
    names = [f"stream-{index}" for index in range(arguments.streams)]
    with open_stage() as stage:
        profile = arguments.profile.resolve() if arguments.profile else None
        by_whip = stage.server(Streamd(stage.folder / "whip", rooms=["first", *names], profile=profile))
        by_rtmp = stage.server(Streamd(stage.folder / "rtmp", rooms=names))
        first_ms = _first_part_ms(stage, by_whip)
        job = {"clip": str(clips.source_clip()), "loop_ms": clips.SECONDS * 1000}
        doors = [by_whip.http_url(f"/whip/{name}") for name in names]
        stage.generator("whip_publishers", {**job, "doors": doors})
        stage.generator("publishers", {**job, "urls": [by_rtmp.publish_url(name) for name in names]})
        stage.wait(_SETTLE_S, "settling")
        groups = {"WHIP": by_whip.pids(), "RTMP": by_rtmp.pids()}
        begun_s, loop_before_ms = time.monotonic(), _loop_ms(groups["WHIP"])
        windows = [
            stage.cpu_of(groups, arguments.window_s, f"window {index + 1} of {arguments.windows}")
            for index in range(arguments.windows)
        ]
        loop_ms = (_loop_ms(groups["WHIP"]) - loop_before_ms) / (time.monotonic() - begun_s)
        memory = {name: resident_bytes(pids) for name, pids in groups.items()}
    count = arguments.streams
    unit = "ms CPU a stream-second"
    held = tuple((name, memory[name] / 2**20) for name in memory)
    tables = [Table(title="Resident memory", columns=("server", "MiB"), rows=held)]
    if profile:
        tables.append(hottest(profile))
    whip_ms = [window["WHIP"] / count for window in windows]
    return Report(
        scenario="whip",
        title=f"WHIP: {count} publishers of {clips.TOTAL_BPS / 1e6:.0f} Mb/s",
        command="",
        figures=(
            sampled("WHIP", whip_ms, unit=unit),
            Figure(name="of it on the loop, the rest makes sound", value=loop_ms / count, unit=unit),
            sampled("RTMP", [window["RTMP"] / count for window in windows], unit=unit),
            sampled("WHIP / RTMP", [window["WHIP"] / window["RTMP"] for window in windows]),
            sampled("publishers a core", [1_000 / one for one in whip_ms]),
            Figure(name="offer to first part", value=first_ms, unit="ms", most=_FIRST_PART_MS),
        ),
        tables=tuple(tables),
        notes=(
            "One streamd for each door, LL-HLS and FLV cache on, nobody watching. The publishers are ours: 1280×720 at "
            "30 fps, key frame every 2 s; by WHIP in packets of 1200 bytes with Opus, which is made into AAC (inside "
            "the figure); by RTMP with AAC.",
            f"Median of {arguments.windows} windows of {arguments.window_s:.0f} s.",
        ),
    )


def _loop_ms(pids: Sequence[int]) -> float:
    """CPU time of the main threads: the loops, without the threads that convert sound."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000 / os.sysconf("SC_CLK_TCK")


def _first_part_ms(stage: Stage, server: Streamd) -> float:
    """From just before a publisher's process posts its offer until a playlist names a part."""
    job = {"clip": str(clips.source_clip()), "loop_ms": clips.SECONDS * 1000, "doors": [server.http_url("/whip/first")]}
    with Generator("whip_publishers", job, log=stage.folder / "first.log") as generator:
        connect_ms: float = generator.wait_ready()["connect_ms"][0]
        started = time.monotonic()
        while "#EXT-X-PART:" not in _playlist(server) and time.monotonic() - started < _PATIENCE_S:
            time.sleep(0.02)
        found_ms = (time.monotonic() - started) * 1_000 + connect_ms
        generator.finish()
    return found_ms


def _playlist(server: Streamd) -> str:
    try:
        with urllib.request.urlopen(server.http_url("/live/first/source/media.m3u8"), timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError:
        return ""
