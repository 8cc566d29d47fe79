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


def run(arguments: argparse.Namespace) -> Report:
    """All doors side by side."""
    names = [f"stream-{index}" for index in range(arguments.streams)]
    with open_stage() as stage:
        by_whip = stage.server(Streamd(stage.folder / "whip", rooms=["first", *names]))
        by_browser = stage.server(Streamd(stage.folder / "browser", rooms=names))
        by_rtmp = stage.server(Streamd(stage.folder / "rtmp", rooms=names))
        first_ms = _first_part_ms(stage, by_whip)
        for server, encoder in ((by_whip, "obs"), (by_browser, "browser")):
            doors = [server.http_url(f"/whip/{name}") for name in names]
            stage.generator("whip_publishers", {**_job(), "doors": doors, "encoder": encoder})
        stage.generator("publishers", {**_job(), "urls": [by_rtmp.publish_url(name) for name in names]})
        stage.wait(_SETTLE_S, "settling")
        groups = {"WHIP": by_whip.pids(), "WHIP, mono": by_browser.pids(), "RTMP": by_rtmp.pids()}
        begun_s, on_loop_ms = time.monotonic(), {name: -_loop_ms(pids) for name, pids in groups.items()}
        windows = [
            stage.cpu_of(groups, arguments.window_s, f"window {index + 1} of {arguments.windows}")
            for index in range(arguments.windows)
        ]
        lasted_s = time.monotonic() - begun_s
        loop_ms = {name: (on_loop_ms[name] + _loop_ms(pids)) / lasted_s for name, pids in groups.items()}
        memory = {name: resident_bytes(pids) for name, pids in groups.items()}
    held = Table(
        title="Resident memory",
        columns=("server", "MiB"),
        rows=tuple((name, count / 2**20) for name, count in memory.items()),
    )
    return Report(
        scenario="whip",
        title=f"WHIP: {arguments.streams} publishers of {clips.TOTAL_BPS / 1e6:.0f} Mb/s",
        command="",
        figures=(
            *_figures(windows, loop_ms, arguments.streams),
            Figure(name="offer to first part", value=first_ms, unit="ms", most=_FIRST_PART_MS),
        ),
        tables=(held,),
        notes=(
            "One streamd for each door, LL-HLS and FLV cache on, nobody watching. The publishers are ours: 1280×720 at "
            "30 fps, key frame every 2 s; by RTMP with AAC; by WHIP in packets of 1200 bytes with Opus, which is made "
            "into AAC (inside the figures): stereo at 96 kb/s as OBS makes it, mono at 32 kb/s as Chrome does.",
            f"Median of {arguments.windows} windows of {arguments.window_s:.0f} s. A processor that sleeps between two "
            "batches starts each with cold caches: a fuller one spends less on each stream.",
        ),
    )


def _figures(windows: Sequence[dict[str, float]], loop_ms: dict[str, float], count: int) -> list[Figure]:
    """Each door's cost, and what of it makes sound: all that is not done on the loop."""
    unit = "ms CPU a stream-second"
    found: list[Figure] = []
    for name in windows[0]:
        found.append(sampled(name, [window[name] / count for window in windows], unit=unit))
        if name != "RTMP":
            sound = [(window[name] - loop_ms[name]) / count for window in windows]
            found.append(sampled(f"{name}: making sound", sound, unit=unit))
    found.append(sampled("WHIP / RTMP", [window["WHIP"] / window["RTMP"] for window in windows]))
    found.append(sampled("publishers a core", [1_000 * count / window["WHIP"] for window in windows]))
    return found


def _job() -> dict[str, object]:
    return {"clip": str(clips.source_clip()), "loop_ms": clips.SECONDS * 1000}


def _loop_ms(pids: Sequence[int]) -> float:
    """CPU time of the main threads: the loops, without the threads that convert sound."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000 / os.sysconf("SC_CLK_TCK")


def _first_part_ms(stage: Stage, server: Streamd) -> float:
    """From just before a publisher's process posts its offer until a playlist names a part."""
    job = {**_job(), "doors": [server.http_url("/whip/first")]}
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
