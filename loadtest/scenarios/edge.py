"""Viewers behind nginx, with the configuration of this project: how often the origin is asked for a part.

nginx listens without TLS here, which would cost the generator more than the servers; all else is what `nginx/render.py`
prints.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from loadtest.machine import family
from loadtest.peers import Streamd
from loadtest.processes import Child, free_ports, wait_for_port
from loadtest.report import Report, Table, sampled
from loadtest.scenarios.ingest import publish
from loadtest.stage import Stage, open_stage

SUMMARY = "500 LL-HLS viewers through nginx: what the origin is asked, and what nginx adds"
_ROOM = "show"
_FILL_S = 8.0
_SETTLE_S = 3.0
_PART_S = 0.5
_RENDER = Path(__file__).parents[2] / "nginx" / "render.py"


class Edge:
    """nginx before a streamd."""

    name = "nginx"

    def __init__(self, folder: Path, server: Streamd) -> None:
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if nginx is None:
            raise RuntimeError("nginx is not installed: apt-get install nginx libnginx-mod-stream")
        for name in ("run", "log", "cache"):
            (folder / name).mkdir(parents=True)
        self.port, plain, rtmp, rtmps = free_ports(4)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        subject = ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject],
            check=True,
            capture_output=True,
        )
        command = [sys.executable, str(_RENDER), "--server-name", "localhost"]
        command += ["--user", "root" if os.geteuid() == 0 else ""]
        command += ["--certificate", str(certificate), "--key", str(key)]
        command += [f"--{name}-dir={folder / name}" for name in ("run", "log", "cache")]
        command += [f"--https-port={self.port}", f"--http-port={plain}", f"--rtmp-port={rtmp}", f"--rtmps-port={rtmps}"]
        command += ["--node", f"127.0.0.1:{server.http_port}:{server.rtmp_port}"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        settings = folder / "nginx.conf"
        settings.write_text(text.replace(f"listen {self.port} ssl http2;", f"listen {self.port};"), encoding="utf-8")
        self._child = Child(self.name, [nginx, "-c", str(settings), "-g", "daemon off;"], log=folder / "nginx.log")
        wait_for_port(self.port, self._child)

    def publish_url(self, stream: str) -> str:
        raise RuntimeError(f"nobody publishes {stream} through it here")

    play_url = publish_url

    def pids(self) -> list[int]:
        self._child.check()
        return family(self._child.pid)

    def stop(self) -> None:
        self._child.stop()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about a minute and a half."""
    parser.add_argument("--viewers", type=int, default=500, help="who fetch every playlist and every part")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=15.0)


def run(arguments: argparse.Namespace) -> Report:
    """A crowd at nginx, and the same crowd at the origin itself."""
    rows: list[tuple[object, ...]] = []
    asked: list[float] = []
    late: dict[str, list[float]] = {"nginx": [], "origin": []}
    with open_stage() as stage:
        server = stage.server(Streamd(stage.folder / "streamd", rooms=[_ROOM]))
        edge = stage.server(Edge(stage.folder / "edge", server))
        publish(stage, server, [_ROOM], lean=True)
        stage.wait(_FILL_S, "the window fills")
        for window in range(arguments.windows):
            for where, port in (("nginx", edge.port), ("origin", server.http_port)):
                before = _parts_answered(server)
                totals = _crowd(stage, f"http://127.0.0.1:{port}/live/{_ROOM}/index.m3u8", arguments)
                parts = totals["seconds"] / _PART_S
                per_part = (_parts_answered(server) - before) / parts
                late[where].append(totals["last_ms"][0])
                if where == "nginx":
                    asked.append(per_part)
                rows.append((window + 1, where, totals["answers"], per_part, *totals["last_ms"]))
    added = [nginx - origin for nginx, origin in zip(late["nginx"], late["origin"], strict=True)]
    return Report(
        scenario="edge",
        title=f"Behind nginx: {arguments.viewers} LL-HLS viewers",
        command="",
        figures=(
            sampled("requests for a part that reach the origin", asked, most=1.1),
            sampled("end of the part's media to last viewer, through nginx", late["nginx"], unit="ms"),
            sampled("the same at the origin itself", late["origin"], unit="ms"),
            sampled("added by nginx", added, unit="ms"),
        ),
        tables=(
            Table(
                title="Windows",
                columns=("window", "asked", "answers", "origin's answers a part", "last viewer ms", "p95", "p99"),
                rows=tuple(rows),
            ),
        ),
        notes=(
            "Each viewer asks for every playlist, held until its part is there, and then for the part, as hls.js does.",
            "Without TLS. Generator, nginx and streamd share two cores.",
        ),
    )


def _crowd(stage: Stage, url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    crowd = stage.generator("hls_crowd", {"url": url, "viewers": arguments.viewers, "media": True})
    stage.wait(_SETTLE_S + arguments.window_s, f"{arguments.viewers} viewers")
    totals: dict[str, Any] = crowd.finish()
    crowd.stop()
    return totals


def _parts_answered(server: Streamd) -> float:
    with urllib.request.urlopen(server.http_url("/metrics"), timeout=10) as answer:
        text = answer.read().decode()
    return sum(
        float(found)
        for found in re.findall(
            r'streamd_hls_answers_total\{[^}]*kind="part"[^}]*status="200"[^}]*\} ([0-9.e+]+)', text
        )
    )
