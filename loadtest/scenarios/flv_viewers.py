"""What a viewer of a continuous stream costs: streamd by HTTP-FLV and by RTMP play, nginx-rtmp by RTMP play.

One source, one run, the same number of viewers everywhere, in windows shared by both servers. The cost of ingest
without viewers is measured first and taken off.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from loadtest import clips
from loadtest.charts import bars
from loadtest.peers import MediaServer, NginxRtmp, Streamd
from loadtest.processes import Generator
from loadtest.report import Figure, Report, Table, sampled
from loadtest.scenarios.ingest import publish
from loadtest.stage import Stage, open_stage

SUMMARY = "CPU per viewer-second: HTTP-FLV and RTMP play against nginx-rtmp's RTMP play"
_ROOM = "show"
_OURS, _PEER = Streamd.name, NginxRtmp.name
_WAYS = {"HTTP-FLV": "flv", "RTMP play": "rtmp"}
_SETTLE_S = 4.0
_GENERATORS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about two minutes."""
    parser.add_argument("--viewers", type=int, default=100, help="on each server at a time")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=10.0)


def run(arguments: argparse.Namespace) -> Report:
    """Rounds of three windows: FLV beside the peer, RTMP beside the peer, nobody."""
    costs: dict[tuple[str, str], list[float]] = {(name, way): [] for way in _WAYS for name in (_OURS, _PEER)}
    rates: list[tuple[object, ...]] = []
    errors: list[str] = []
    with open_stage() as stage:
        ours = stage.server(Streamd(stage.folder / "streamd", rooms=[_ROOM]))
        peer = stage.server(NginxRtmp(stage.folder / "nginx", hls=False))
        servers: tuple[MediaServer, MediaServer] = (ours, peer)
        for server in servers:
            publish(stage, server, [_ROOM], lean=True)
        groups = {server.name: server.pids() for server in servers}
        stage.wait(_SETTLE_S, "settling")
        for index in range(arguments.windows):
            idle = stage.cpu_of(groups, arguments.window_s, f"round {index + 1}: nobody")
            for way, kind in _WAYS.items():
                url = ours.http_url(f"/live/{_ROOM}.flv") if kind == "flv" else ours.play_url(_ROOM)
                crowds = {
                    _OURS: crowd_of(stage, kind, url, arguments.viewers),
                    _PEER: crowd_of(stage, "rtmp", peer.play_url(_ROOM), arguments.viewers),
                }
                stage.wait(_SETTLE_S, f"round {index + 1}: settling")
                busy = stage.cpu_of(groups, arguments.window_s, f"round {index + 1}: {way}")
                for name, crowd in crowds.items():
                    costs[name, way].append((busy[name] - idle[name]) / arguments.viewers)
                    slowest, trouble = dismiss(crowd)
                    rates.append((index + 1, f"{name}, {way if name == _OURS else 'RTMP play'}", slowest / 1e6))
                    errors += [f"{name}: {text}" for text in trouble]
    return Report(
        scenario="flv_viewers",
        title=f"Continuous viewers: {arguments.viewers} on each server",
        command="",
        figures=tuple(_figures(costs)),
        tables=(
            Table(title="Slowest viewer", columns=("round", "crowd", "Mb/s"), rows=tuple(rates)),
            stage.meter.table(),
        ),
        charts=(bars("Processor time of a viewer", "ms a viewer-second", _spent(costs)), *stage.meter.charts()),
        errors=tuple(sorted(set(errors))),
        notes=(
            f"One source of {clips.TOTAL_BPS / 1e6:.0f} Mb/s, 77 frames a second. Viewers read and count. CPU of the "
            "servers' processes only, less what ingest alone took in the same round.",
            "Each of our two ways in has nginx-rtmp's RTMP play beside it in the same window.",
        ),
    )


def _spent(costs: dict[tuple[str, str], list[float]]) -> dict[str, list[float]]:
    """Ours by each way, and the peer in all windows."""
    spent = {f"{_OURS} {way}": costs[_OURS, way] for way in _WAYS}
    return {**spent, f"{_PEER} RTMP play": [one for way in _WAYS for one in costs[_PEER, way]]}


def _figures(costs: dict[tuple[str, str], list[float]]) -> Iterator[Figure]:
    for way in _WAYS:
        mine, theirs = costs[_OURS, way], costs[_PEER, way]
        yield sampled(f"{_OURS} {way} / {_PEER} RTMP play", [a / b for a, b in zip(mine, theirs, strict=True)])
        yield sampled(f"{_OURS} {way}", mine, unit="ms CPU a viewer-second")
        yield sampled(f"{_PEER} RTMP play, beside it", theirs, unit="ms CPU a viewer-second")


def crowd_of(stage: Stage, kind: str, url: str, viewers: int) -> list[Generator]:
    """Viewers of one address, in two processes."""
    shares = [viewers // _GENERATORS + (index < viewers % _GENERATORS) for index in range(_GENERATORS)]
    return [stage.generator("viewers", {"kind": kind, "urls": [url] * share}) for share in shares if share]


def dismiss(crowd: Sequence[Generator]) -> tuple[float, list[str]]:
    """The slowest viewer's bit rate, and why any were cut off."""
    totals = [generator.finish() for generator in crowd]
    for generator in crowd:
        generator.stop()
    return min(one["slowest_bps"] for one in totals), [reason for one in totals for reason in one["ended"]]
