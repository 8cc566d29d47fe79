"""What a publisher costs: streamd with LL-HLS and the FLV cache on, against nginx-rtmp with HLS, in one window.

Every stream is pushed twice, by one ffmpeg to each server, all from one file. CPU time of the two servers is read over
the same windows, so whatever else the machine does hits both.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from loadtest import clips
from loadtest.charts import bars
from loadtest.machine import resident_bytes
from loadtest.peers import MediaServer, NginxRtmp, Streamd
from loadtest.report import Figure, Report, Table, sampled
from loadtest.stage import Stage, open_stage
from streamd.ffmpeg import ClipSpec, push_argv

SUMMARY = "CPU per stream-second of ingest against nginx-rtmp, ffmpeg as publisher"
_SETTLE_S = 8.0  # first segments, playlists and caches are there
_TARGET_RATIO = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about two minutes."""
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--window-s", type=float, default=20.0)
    parser.add_argument("--lean", action="store_true", help="our own publishers in place of ffmpeg")


def run(arguments: argparse.Namespace) -> Report:
    """Both servers side by side."""
    names = [f"stream-{index}" for index in range(arguments.streams)]
    with open_stage() as stage:
        ours = stage.server(Streamd(stage.folder / "streamd", rooms=names))
        peer = stage.server(NginxRtmp(stage.folder / "nginx"))
        for server in (ours, peer):
            publish(stage, server, names, lean=arguments.lean)
        stage.wait(_SETTLE_S, "settling")
        groups = {server.name: server.pids() for server in (ours, peer)}
        windows = [
            stage.cpu_of(groups, arguments.window_s, f"window {index + 1} of {arguments.windows}")
            for index in range(arguments.windows)
        ]
        memory = {name: resident_bytes(pids) for name, pids in groups.items()}
    figures = _figures(windows, (ours.name, peer.name), arguments.streams)
    rows = tuple((name, memory[name] / 2**20) for name in memory)
    tables = (Table(title="Resident memory", columns=("server", "MiB"), rows=rows), stage.meter.table())
    return Report(
        scenario="ingest",
        title=f"Ingest: {arguments.streams} publishers of {clips.TOTAL_BPS / 1e6:.0f} Mb/s",
        command="",
        figures=figures,
        charts=(
            bars("Processor time of ingest", "ms a stream-second", {one.name: one.samples for one in figures[1:]}),
            *stage.meter.charts(),
        ),
        tables=tables,
        notes=(
            "streamd: LL-HLS (2 s segments, 500 ms parts, window of 10) and FLV cache on, nobody watching. nginx-rtmp: "
            "HLS with hls_fragment 1s, chunk_size 60000, one worker, files in /dev/shm.",
            f"Publishers: {'our replayer' if arguments.lean else 'ffmpeg -re -stream_loop -1 -c copy'}, one for each "
            "stream and server; 1280×720 at 30 fps, key frame every 2 s, AAC at 48 kHz.",
            f"Median of {arguments.windows} windows of {arguments.window_s:.0f} s; the ratio is of each window.",
        ),
    )


def publish(
    stage: Stage, server: MediaServer, names: Sequence[str], *, lean: bool, spec: ClipSpec = clips.SPEC
) -> list[int]:
    """Put `names` on air and return the pids of who does it."""
    clip = clips.source_clip(spec)
    urls = [server.publish_url(name) for name in names]
    if lean:
        job = {"urls": urls, "clip": str(clip), "loop_ms": clips.SECONDS * 1000}
        return [stage.generator("publishers", job).pid]
    return [stage.child(f"ffmpeg-{server.name}", push_argv(clip, url, loop=True)).pid for url in urls]


def _figures(windows: Sequence[dict[str, float]], names: tuple[str, str], streams: int) -> tuple[Figure, ...]:
    ours, peer = names
    unit = "ms CPU a stream-second"
    return (
        sampled(f"{ours} / {peer}", [window[ours] / window[peer] for window in windows], most=_TARGET_RATIO),
        sampled(ours, [window[ours] / streams for window in windows], unit=unit),
        sampled(peer, [window[peer] / streams for window in windows], unit=unit),
    )
