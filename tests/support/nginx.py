"""A real nginx with the configuration of this project, in front of a running server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.certificates import self_signed
from tests.support.ports import free_port
from tests.support.server import ROOT, RunningServer
from tests.support.web import eventually

RENDER = ROOT / "nginx" / "render.py"
NGINX = next((path for path in ("/usr/sbin/nginx", "/usr/local/sbin/nginx") if Path(path).exists()), "nginx")


class Front(NamedTuple):
    """Where nginx listens."""

    https_port: int
    http_port: int
    rtmp_port: int
    rtmps_port: int
    folder: Path

    @property
    def https_url(self) -> str:
        return f"https://localhost:{self.https_port}"

    @property
    def rtmp_url(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live"


def render(folder: Path, nodes: Sequence[str], *, front: Front | None = None, extra: Sequence[str] = ()) -> str:
    """What `nginx/render.py` prints."""
    certificate, key = self_signed(folder)
    ports = front or Front(443, 80, 1935, 1936, folder)
    for name in ("run", "log", "cache"):
        (folder / name).mkdir(exist_ok=True)
    command = [sys.executable, str(RENDER), "--server-name", "localhost"]
    command += ["--certificate", str(certificate), "--key", str(key)]
    command += [f"--{name}-dir={folder / name}" for name in ("run", "log", "cache")]
    command += [f"--https-port={ports.https_port}", f"--http-port={ports.http_port}"]
    command += [f"--rtmp-port={ports.rtmp_port}", f"--rtmps-port={ports.rtmps_port}"]
    command += ["--user", "root" if os.geteuid() == 0 else "", *extra]
    for node in nodes:
        command += ["--node", node]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


@contextmanager
def nginx_before(server: RunningServer, folder: Path) -> Iterator[Front]:
    """nginx, listening; ended afterwards."""
    front = Front(free_port(), free_port(), free_port(), free_port(), folder)
    path = folder / "nginx.conf"
    path.write_text(render(folder, [f"127.0.0.1:{server.http_port}:{server.rtmp_port}"], front=front), encoding="utf-8")
    process = subprocess.Popen([NGINX, "-c", str(path), "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(front.https_port), bool, seconds=10, what="nginx listens")
        yield front
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
