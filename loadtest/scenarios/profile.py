"""Where the time goes: ingest by RTMP and by WHIP, parts and playlists, room fan-out, function by function.

One server for each path, under one load and nothing else, which runs as it always does while py-spy looks at it. These
are shares and no costs: what a path costs is measured by `ingest`, `whip`, `hls_viewers`, `rooms_cpu`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from loadtest import clips
from loadtest.charts import bars
from loadtest.hottest import look
from loadtest.peers import Streamd
from loadtest.report import Figure, Report, Table
from loadtest.shop_floor import ROOM, set_up
from loadtest.stage import Stage, open_stage

SUMMARY = "Where the time goes: ingest, parts and playlists, room fan-out, function by function"
_SETTLE_S = 4.0
_SPEAKERS = 100
_SAY_PER_S = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about three minutes."""
    parser.add_argument("--publishers", type=int, default=20, help="by RTMP, and half as many by WHIP")
    parser.add_argument("--viewers", type=int, default=300, help="LL-HLS players")
    parser.add_argument("--members", type=int, default=1_000, help="of one room")
    parser.add_argument("--seconds", type=int, default=25, help="of each load")
    parser.add_argument("--functions", type=int, default=15, help="how many to name")


def run(arguments: argparse.Namespace) -> Report:
    """One server after the other."""
    tables: list[Table] = []
    parts: dict[str, dict[str, float]] = {}
    figures: list[Figure] = []
    paths: tuple[tuple[str, Callable[[Stage, argparse.Namespace], Streamd]], ...] = (
        (f"RTMP: {arguments.publishers} publishers", _rtmp),
        (f"WHIP: {arguments.publishers // 2} publishers", _whip),
        (f"parts and playlists: {arguments.viewers} LL-HLS players of one stream", _play),
        (f"room fan-out: {arguments.members} members, {_SAY_PER_S} danmaku a second", _talk),
    )
    for name, begin in paths:
        with open_stage() as stage:
            server = begin(stage, arguments)
            stage.wait(_SETTLE_S, f"{name}: settling")
            seen, busy_ms = look(stage, server.pids(), arguments.seconds, name)
        figures += [
            Figure(name=f"{name}: busy", value=busy_ms / 10, unit="% of a core"),
            Figure(name="of it in the interpreter", value=seen.percent_of(arguments.seconds), unit="% of a core"),
        ]
        parts[name] = seen.shares()
        tables.append(seen.table(title=name[0].upper() + name[1:], count=arguments.functions))
    columns = tuple(sorted({part for found in parts.values() for part in found}))
    rows = tuple((name, *(found.get(part, 0.0) for part in columns)) for name, found in parts.items())
    by_part = Table(title="In the interpreter, by part, per cent", columns=("path", *columns), rows=rows)
    return Report(
        scenario="profile",
        title="Where the time goes",
        command="",
        figures=tuple(figures),
        tables=(by_part, *tables),
        charts=tuple(
            bars(name, "per cent of the interpreter", {k: [v] for k, v in found.items()})
            for name, found in parts.items()
        ),
        notes=(
            "By py-spy, which looks 500 times a second at who has the interpreter: a function with all that it called "
            "and that is written in C (bytes.join, struct, orjson, writing to a socket).",
            "What runs without the interpreter is not in the tables: uvloop reading sockets, the kernel, codecs of "
            "sound. Looking takes time as well, a part of 'busy'.",
            f"Streams of {clips.TOTAL_BPS / 1e6:.0f} Mb/s by our own publishers; players as in `hls_viewers`, parts "
            "fetched; of the danmaku 40 a second are shown to all.",
        ),
    )


def _rtmp(stage: Stage, arguments: argparse.Namespace) -> Streamd:
    return _on_air(stage, [f"stream-{index}" for index in range(arguments.publishers)])


def _whip(stage: Stage, arguments: argparse.Namespace) -> Streamd:
    rooms = [f"stream-{index}" for index in range(arguments.publishers // 2)]
    server = stage.server(Streamd(stage.folder / "whip", rooms=rooms))
    stage.generator("whip_publishers", {**_clip(), "doors": [server.http_url(f"/whip/{room}") for room in rooms]})
    return server


def _play(stage: Stage, arguments: argparse.Namespace) -> Streamd:
    server = _on_air(stage, ["show"])
    stage.wait(2 * _SETTLE_S, "the window fills")
    job = {"url": server.http_url("/live/show/index.m3u8"), "viewers": arguments.viewers, "media": True}
    stage.generator("hls_crowd", job)
    return server


def _talk(stage: Stage, arguments: argparse.Namespace) -> Streamd:
    data = stage.folder / "data"
    url = f"sqlite+aiosqlite:///{data}/streamd.db"
    tokens = set_up(url, data_dir=data, buyers=_SPEAKERS, goods=1).tokens
    settings = {"STREAMD_DATA_DIR": str(data), "STREAMD_DATABASE_URL": url}
    server = stage.server(Streamd(stage.folder / "node", settings=settings))
    job = {"ports": [server.http_port], "members": arguments.members, "room": ROOM, "tokens": tokens}
    stage.generator("chatters", {**job, "speakers": _SPEAKERS, "say_per_s": _SAY_PER_S})
    return server


def _on_air(stage: Stage, rooms: list[str]) -> Streamd:
    server = stage.server(Streamd(stage.folder / "rtmp", rooms=rooms))
    stage.generator("publishers", {**_clip(), "urls": [server.publish_url(room) for room in rooms]})
    return server


def _clip() -> dict[str, object]:
    return {"clip": str(clips.source_clip()), "loop_ms": clips.SECONDS * 1_000}
