"""Where the time goes: ingest, parts and playlists, room fan-out, each under cProfile, function by function.

One server for each path, under one load and nothing else. A profiler makes every call dearer, so its figures are
shares and no costs: what a path costs is measured without one (`ingest`, `hls_viewers`, `rooms_cpu`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from loadtest import clips
from loadtest.charts import bars
from loadtest.hottest import hottest, shares
from loadtest.peers import Streamd
from loadtest.report import Figure, Report, Table
from loadtest.shop_floor import ROOM, set_up
from loadtest.stage import Stage, open_stage

SUMMARY = "Where the time goes: ingest, parts and playlists, room fan-out, function by function"
_SETTLE_S = 4.0
_SPEAKERS = 100
_SAY_PER_S = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about two minutes."""
    parser.add_argument("--publishers", type=int, default=20)
    parser.add_argument("--viewers", type=int, default=300, help="LL-HLS players")
    parser.add_argument("--members", type=int, default=1_000, help="of one room")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--functions", type=int, default=15, help="how many to name")


def run(arguments: argparse.Namespace) -> Report:
    """Three servers, one after the other."""
    tables: list[Table] = []
    parts: dict[str, dict[str, float]] = {}
    figures: list[Figure] = []
    paths: tuple[tuple[str, Callable[[Stage, argparse.Namespace, Path], float]], ...] = (
        (f"ingest: {arguments.publishers} publishers", _ingest),
        (f"parts and playlists: {arguments.viewers} LL-HLS players of one stream", _play),
        (f"room fan-out: {arguments.members} members, {_SAY_PER_S} danmaku a second", _talk),
    )
    for name, load in paths:
        with open_stage() as stage:
            profile = stage.folder / "profile"
            busy = load(stage, arguments, profile)
            figures.append(Figure(name=f"{name}: busy while profiled", value=busy / 10, unit="% of a core"))
            parts[name] = shares(profile)
            tables.append(hottest(profile, title=name[0].upper() + name[1:], count=arguments.functions))
    rows = tuple((name, *(found.get(part, 0.0) for part in _columns(parts))) for name, found in parts.items())
    by_part = Table(title="Own time by part, per cent", columns=("path", *_columns(parts)), rows=rows)
    return Report(
        scenario="profile",
        title="Where the time goes",
        command="",
        figures=tuple(figures),
        tables=(by_part, *tables),
        charts=tuple(
            bars(name, "per cent of own time", {k: [v] for k, v in found.items()}) for name, found in parts.items()
        ),
        notes=(
            "cProfile of the loop's thread, in its own processor time; imports are left out. 'built-in' is what is "
            "called from Python and written in C: bytes.join, struct, orjson, sockets through uvloop.",
            "Time inside uvloop that no Python function asked for is not in these tables: it is the loop's own reading "
            "and writing.",
            f"Streams of {clips.TOTAL_BPS / 1e6:.0f} Mb/s by our own publishers; players as in `hls_viewers`, parts "
            "fetched; of the danmaku 40 a second are shown to all.",
        ),
    )


def _columns(parts: dict[str, dict[str, float]]) -> tuple[str, ...]:
    return tuple(sorted({part for found in parts.values() for part in found}))


def _ingest(stage: Stage, arguments: argparse.Namespace, profile: Path) -> float:
    rooms = [f"stream-{index}" for index in range(arguments.publishers)]
    server = Streamd(stage.folder / "ingest", rooms=rooms, profile=profile)
    return _under(stage, server, arguments, "ingest", lambda: _publish(stage, server, rooms))


def _play(stage: Stage, arguments: argparse.Namespace, profile: Path) -> float:
    server = Streamd(stage.folder / "play", rooms=["show"], profile=profile)

    def begin() -> None:
        _publish(stage, server, ["show"])
        stage.wait(2 * _SETTLE_S, "the window fills")
        job = {"url": server.http_url("/live/show/index.m3u8"), "viewers": arguments.viewers, "media": True}
        stage.generator("hls_crowd", job)

    return _under(stage, server, arguments, "playlists", begin)


def _talk(stage: Stage, arguments: argparse.Namespace, profile: Path) -> float:
    data = stage.folder / "talk" / "data"
    url = f"sqlite+aiosqlite:///{data}/streamd.db"
    tokens = set_up(url, data_dir=data, buyers=_SPEAKERS, goods=1).tokens
    settings = {"STREAMD_DATA_DIR": str(data), "STREAMD_DATABASE_URL": url}
    server = Streamd(stage.folder / "talk" / "node", settings=settings, profile=profile)

    def begin() -> None:
        job = {"ports": [server.http_port], "members": arguments.members, "room": ROOM, "tokens": tokens}
        stage.generator("chatters", {**job, "speakers": _SPEAKERS, "say_per_s": _SAY_PER_S})

    return _under(stage, server, arguments, "room", begin)


def _publish(stage: Stage, server: Streamd, rooms: list[str]) -> None:
    urls = [server.publish_url(room) for room in rooms]
    job = {"urls": urls, "clip": str(clips.source_clip()), "loop_ms": clips.SECONDS * 1_000}
    stage.generator("publishers", job)


def _under(
    stage: Stage, server: Streamd, arguments: argparse.Namespace, what: str, begin: Callable[[], object]
) -> float:
    """One load on one server, which ends with it: CPU milliseconds a second meanwhile."""
    try:
        begin()
        stage.wait(_SETTLE_S, f"{what}: settling")
        return stage.cpu_of({"server": server.pids()}, arguments.seconds, what)["server"]
    finally:
        server.stop()
