"""A crowd waits for the next part: what blocked playlists cost, and how long after the first viewer the last is served.

Viewers are spread over generator processes on the same cores as the server, so the delay that is measured is the
machine's, the CPU per request the server's own.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from loadtest import clips
from loadtest.charts import percentiles
from loadtest.histogram import Histogram
from loadtest.peers import Streamd
from loadtest.report import Figure, Report, Table, sampled
from loadtest.scenarios.ingest import publish
from loadtest.stage import Stage, open_stage

SUMMARY = "LL-HLS: requests a second and core, and delay to the last of 1000 viewers held on one part"
_ROOM = "show"
_FILL_S = 8.0
_SETTLE_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about two minutes."""
    parser.add_argument("--viewers", type=int, default=1000, help="held on playlists")
    parser.add_argument("--media-viewers", type=int, default=200, help="of a second crowd that fetches every part too")
    parser.add_argument("--generators", type=int, default=1)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=15.0)


def run(arguments: argparse.Namespace) -> Report:
    """Playlists alone, then playlists and parts."""
    with open_stage() as stage:
        server = stage.server(Streamd(stage.folder / "streamd", rooms=[_ROOM]))
        publish(stage, server, [_ROOM], lean=True)
        stage.wait(_FILL_S, "the window fills")
        idle = stage.cpu_of({"streamd": server.pids()}, arguments.window_s, "nobody")["streamd"]
        held = [
            _round(stage, server, arguments, arguments.viewers, idle, media=False) for _ in range(arguments.windows)
        ]
        fed = [_round(stage, server, arguments, arguments.media_viewers, idle, media=True)]
    playing = fed[0]["playing"]
    arrivals = Histogram.from_json(fed[0]["arrivals"])
    counted: Counter[str] = Counter()
    for one in (*held, *fed):
        counted.update(one["statuses"])
    errors = tuple(sorted({f"{count} viewers: {text}" for one in (*held, *fed) for text, count in one["ended"]}))
    return Report(
        scenario="hls_viewers",
        title=f"Low-latency HLS: {arguments.viewers} viewers held on one part",
        command="",
        figures=(
            sampled("playlist requests a second and core", [one["per_core"] for one in held]),
            sampled("server CPU a request", [one["us_a_request"] for one in held], unit="µs"),
            sampled("first to last viewer answered, median", [one["spread_ms"][0] for one in held], unit="ms"),
            sampled("first to last viewer answered, p99", [one["spread_ms"][2] for one in held], unit="ms"),
            sampled("end of the part's media to last viewer, median", [one["last_ms"][0] for one in held], unit="ms"),
            sampled("end of the part's media to last viewer, p99", [one["last_ms"][2] for one in held], unit="ms"),
            Figure(
                name=f"requests a second and core, playlists and parts, {arguments.media_viewers} viewers",
                value=fed[0]["per_core"],
            ),
            Figure(name="stalls of players who fetch every part", value=float(playing["stalls"]), most=0),
            Figure(name="behind the live moment, median of those players", value=playing["latency_ms"][0], unit="ms"),
            Figure(name="the same, media served a core", value=fed[0]["media_bps"] / 1e9, unit="Gb/s"),
        ),
        tables=(
            Table(title="Answers", columns=("kind and status", "count"), rows=tuple(sorted(counted.items()))),
            stage.meter.table(),
        ),
        charts=(
            percentiles("End of a part's media until a player has it", {"playlists and parts": arrivals}),
            *stage.meter.charts(),
        ),
        errors=errors,
        notes=(
            "Defaults: 2 s segments, 500 ms parts. Requests as hls.js makes them: msn, part, skip, gzip.",
            "Players begin PART-HOLD-BACK behind the end, fetch every part, skip nothing and never hurry: what was "
            "late once stays late. A stall: more than 20 ms without media.",
            "The end of the part's media is EXT-X-PROGRAM-DATE-TIME plus durations, on the same machine's clock: it "
            "includes the wait for the frame that shows that the part is over.",
            f"Server CPU is what came on top of ingest alone; {arguments.generators} generator process(es) on the same "
            f"cores; one source of {clips.TOTAL_BPS / 1e6:.0f} Mb/s.",
        ),
    )


def _round(
    stage: Stage, server: Streamd, arguments: argparse.Namespace, viewers: int, idle: float, *, media: bool
) -> dict[str, Any]:
    """One crowd, one window. Returns the crowd's totals and what they cost the server."""
    url = server.http_url(f"/live/{_ROOM}/index.m3u8")
    share = viewers // arguments.generators
    job = {"url": url, "viewers": share, "media": media}
    crowd = [stage.generator("hls_crowd", job) for _ in range(arguments.generators)]
    what = f"{viewers} viewers, {'playlists and parts' if media else 'playlists'}"
    stage.wait(_SETTLE_S, f"{what}: settling")
    busy = stage.cpu_of({"streamd": server.pids()}, arguments.window_s, what)["streamd"]
    totals = [generator.finish() for generator in crowd]
    for generator in crowd:
        generator.stop()
    rate = sum(one["answers"] / one["seconds"] for one in totals)
    cost = max(busy - idle, 0.001) / 1000
    worst = max(totals, key=lambda one: one["spread_ms"][1])
    statuses: Counter[str] = Counter()
    for one in totals:
        statuses.update(one["statuses"])
    return {
        **worst,
        "statuses": statuses,
        "ended": [pair for one in totals for pair in one["ended"]],
        "rate": rate,
        "per_core": rate / cost,
        "us_a_request": 1e6 * cost / rate,
        "media_bps": sum(one["media_bytes"] * 8 / one["seconds"] for one in totals) / cost,
    }
