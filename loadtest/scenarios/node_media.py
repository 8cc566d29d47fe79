"""Beside node-media-server: what a publisher and an HTTP-FLV viewer cost, both servers in every window.

One source, the same publishers and the same viewers for both. streamd makes low-latency HLS of every stream as well,
which node-media-server does not do at all: that is in our figures, and its figures are without.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from loadtest import clips
from loadtest.charts import bars
from loadtest.peers import NODE_MEDIA, NodeMedia, Streamd
from loadtest.report import Figure, Report, Table, sampled
from loadtest.scenarios.flv_viewers import crowd_of, dismiss
from loadtest.scenarios.ingest import publish
from loadtest.stage import Stage, open_stage

SUMMARY = "CPU per stream-second and per HTTP-FLV viewer-second against node-media-server"
_OURS, _PEER = Streamd.name, NodeMedia.name
_SETTLE_S = 6.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about two minutes."""
    parser.add_argument("--streams", type=int, default=20, help="on each server")
    parser.add_argument("--viewers", type=int, default=100, help="on each server, of one stream")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=12.0)


def run(arguments: argparse.Namespace) -> Report:
    """Rounds of two windows: publishers alone, then viewers as well."""
    names = [f"stream-{index}" for index in range(arguments.streams)]
    with open_stage() as stage:
        ours = stage.server(Streamd(stage.folder / "streamd", rooms=names))
        (stage.folder / "node").mkdir()
        peer = stage.server(NodeMedia(stage.folder / "node"))
        for server in (ours, peer):
            publish(stage, server, names, lean=True)
        stage.wait(_SETTLE_S, "settling")
        bench = _Bench(stage, arguments, ours, peer, names[0])
        for number in range(arguments.windows):
            bench.round(f"round {number + 1} of {arguments.windows}")
        processes = stage.meter.table()
        charts = stage.meter.charts()
    compared = tuple(
        bars(title, unit, {_OURS: costs[_OURS], _PEER: costs[_PEER]})
        for title, unit, costs in (
            ("Processor time of a publisher", "ms a stream-second", bench.ingest),
            ("Processor time of an HTTP-FLV viewer", "ms a viewer-second", bench.watching),
        )
    )
    return Report(
        scenario="node_media",
        title=f"Beside node-media-server: {arguments.streams} publishers, {arguments.viewers} HTTP-FLV viewers",
        command="",
        figures=tuple(_figures(bench)),
        tables=(
            Table(title="Slowest viewer", columns=("round", "server", "Mb/s"), rows=tuple(bench.rates)),
            processes,
        ),
        charts=(*compared, *charts),
        errors=tuple(sorted(set(bench.errors))),
        notes=(
            f"{NODE_MEDIA[0]} with the settings it ships, without its web administration. streamd with its defaults: "
            "LL-HLS of every stream and the FLV cache. The peer makes no HLS.",
            f"One source of {clips.TOTAL_BPS / 1e6:.0f} Mb/s, published by our replayer to both. A viewer's cost is "
            "what came on top of the publishers in the same round.",
        ),
    )


class _Bench:
    """The measurements of one run."""

    def __init__(
        self, stage: Stage, arguments: argparse.Namespace, ours: Streamd, peer: NodeMedia, watched: str
    ) -> None:
        self._stage = stage
        self._arguments = arguments
        self._groups = {server.name: server.pids() for server in (ours, peer)}
        self._urls = {_OURS: ours.http_url(f"/live/{watched}.flv"), _PEER: peer.flv_url(watched)}
        self.ingest: dict[str, list[float]] = {_OURS: [], _PEER: []}
        self.watching: dict[str, list[float]] = {_OURS: [], _PEER: []}
        self.rates: list[tuple[object, ...]] = []
        self.errors: list[str] = []

    def round(self, what: str) -> None:
        """Publishers alone; then with viewers."""
        seconds, viewers = self._arguments.window_s, self._arguments.viewers
        idle = self._stage.cpu_of(self._groups, seconds, f"{what}: publishers")
        crowds = {name: crowd_of(self._stage, "flv", url, viewers) for name, url in self._urls.items()}
        self._stage.wait(3.0, f"{what}: viewers settle")
        busy = self._stage.cpu_of(self._groups, seconds, f"{what}: viewers")
        for name, crowd in crowds.items():
            self.ingest[name].append(idle[name] / self._arguments.streams)
            self.watching[name].append((busy[name] - idle[name]) / viewers)
            slowest_bps, trouble = dismiss(crowd)
            self.rates.append((what, name, slowest_bps / 1e6))
            self.errors += [f"{name}: {text}" for text in trouble]


def _figures(bench: _Bench) -> Iterator[Figure]:
    for what, unit, costs in (
        ("ingest", "ms CPU a stream-second", bench.ingest),
        ("HTTP-FLV", "ms CPU a viewer-second", bench.watching),
    ):
        ratios = [mine / theirs for mine, theirs in zip(costs[_OURS], costs[_PEER], strict=True)]
        yield sampled(f"{_OURS} / {_PEER}, {what}", ratios)
        for name in (_OURS, _PEER):
            yield sampled(f"{name}, {what}", costs[name], unit=unit)
