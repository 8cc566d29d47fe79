"""What a viewer pays for asking a node that does not own the stream: the same parts, so many milliseconds later.

Two nodes, one encoder, a viewer on each; both note when a part is listed. The second node's delay against the owner's
is the relay's, with the noise of two clients' threads in it.
"""

from __future__ import annotations

import argparse

from loadtest import clips
from loadtest.nodes import Encoder, Node, Redis, Watcher
from loadtest.report import Figure, Report, percentile
from loadtest.stage import open_stage

SUMMARY = "Two nodes: how much later a part is listed on the one that mirrors it"
_ROOM = "show"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about a minute."""
    parser.add_argument("--parts", type=int, default=100)


def run(arguments: argparse.Namespace) -> Report:
    """Push to one, watch both."""
    with open_stage() as stage:
        redis = Redis(stage.folder)
        stage.ends_with(redis.stop)
        data = stage.folder / "data"
        settings = {"STREAMD_HLS_PART_MS": "200", "STREAMD_HLS_SEGMENT_MS": "1000"}
        owner = Node(stage.folder / "owner", data=data, redis=redis, rooms=[_ROOM], settings=settings)
        stage.ends_with(owner.stop)
        other = Node(stage.folder / "other", data=data, redis=redis, settings=settings)
        stage.ends_with(other.stop)
        encoder = Encoder([f"{owner.rtmp_url}/{_ROOM}"], clips.source_clip())
        stage.ends_with(encoder.stop)
        here, there = Watcher([owner.url], _ROOM), Watcher([other.url], _ROOM)
        stage.ends_with(here.stop)
        stage.ends_with(there.stop)
        there.wait_for(arguments.parts, seconds=arguments.parts * 0.4 + 30)
        seen = {(each.msn, each.part): each.at_s for each in here.arrivals}
        # The first parts come in one go with the beginning of each mirror.
        late = [
            1_000 * (each.at_s - seen[each.msn, each.part])
            for each in there.arrivals[10:]
            if (each.msn, each.part) in seen
        ]
    return Report(
        scenario="relay",
        title="Relay: what a mirror adds",
        command="",
        figures=(
            Figure(name="listed later on the mirror, median", value=percentile(late, 0.5), unit="ms"),
            Figure(name="the same, p99", value=percentile(late, 0.99), unit="ms", most=20.0),
            Figure(name="parts compared", value=float(len(late))),
        ),
        errors=tuple(here.objections + there.objections),
        notes=(
            f"One source of {clips.TOTAL_BPS / 1e6:.0f} Mb/s, parts of 200 ms, requests blocked as hls.js blocks them.",
            "Both viewers are threads of one process, so each may see its answer a little late.",
        ),
    )
