"""The servers under test, behind one face: streamd, nginx-rtmp as Debian ships it, and node-media-server from npm.

All listen on free ports of 127.0.0.1 and keep their files in a folder of the scenario. What is measured is what
`pids` names: the server's own processes, all workers, and none of the generators.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from loadtest.machine import family
from loadtest.npm import install
from loadtest.processes import Child, free_ports, wait_for_port
from streamd.accounts.rooms import Rooms
from streamd.clock import SystemClock
from streamd.db.engine import open_engine
from streamd.db.migrate import upgrade

NODE_MEDIA = ("node-media-server@4.4.3",)
_RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_NGINX = """
load_module {module};
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
rtmp {{
  access_log off;
  server {{
    listen 127.0.0.1:{port};
    chunk_size 60000;
    application live {{
      live on;
      hls {hls};
      hls_path {folder}/hls;
      hls_fragment 1s;
    }}
  }}
}}
"""


class MediaServer(Protocol):
    """A running server."""

    name: str

    def publish_url(self, stream: str) -> str:
        """Where an encoder pushes `stream`."""
        ...

    def pids(self) -> list[int]:
        """Every process whose cost counts."""
        ...

    def stop(self) -> None:
        """End it. Idempotent."""
        ...


class NginxRtmp:
    """nginx with libnginx-mod-rtmp: one master, one worker, HLS fragments of a second written to `folder`."""

    name = "nginx-rtmp"

    def __init__(self, folder: Path, *, hls: bool = True) -> None:
        """`folder`: the caller says in its report whether that is a disk or memory."""
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if nginx is None or not _RTMP_MODULE.exists():
            raise RuntimeError("nginx-rtmp is not installed: apt-get install nginx libnginx-mod-rtmp")
        (folder / "hls").mkdir(parents=True)
        (self.port,) = free_ports(1)
        settings = folder / "nginx.conf"
        user = "user root;\n" if os.geteuid() == 0 else ""  # else the worker may not write the folder
        settings.write_text(
            _NGINX.format(module=_RTMP_MODULE, user=user, folder=folder, port=self.port, hls="on" if hls else "off")
        )
        self._child = Child(self.name, [nginx, "-c", str(settings), "-p", str(folder)], log=folder / "nginx.log")
        wait_for_port(self.port, self._child)

    def publish_url(self, stream: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live/{stream}"

    play_url = publish_url

    def pids(self) -> list[int]:
        self._child.check()
        return family(self._child.pid)

    def stop(self) -> None:
        self._child.stop()


class NodeMedia:
    """node-media-server: one process, HTTP-FLV with its cache of a group of pictures, no web administration."""

    name = "node-media-server"

    def __init__(self, folder: Path) -> None:
        program = install(folder / "npm", NODE_MEDIA) / "node-media-server" / "bin" / "app.js"
        self.rtmp_port, self.http_port, rtmps, https = free_ports(4)
        ports = {"rtmp": self.rtmp_port, "rtmps": rtmps, "http": self.http_port, "https": https}
        argv = ["node", str(program), "--bind", "127.0.0.1", "--no-admin"]
        argv += [f"--{name}-port={port}" for name, port in ports.items()]
        argv += [f"--data-path={folder / 'data'}", f"--record-path={folder / 'record'}"]
        self._child = Child(self.name, argv, log=folder / "node-media-server.log", env={"NODE_ENV": "production"})
        wait_for_port(self.rtmp_port, self._child)
        wait_for_port(self.http_port, self._child)

    def publish_url(self, stream: str) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live/{stream}"

    def flv_url(self, stream: str) -> str:
        """Where a viewer gets the stream by HTTP."""
        return f"http://127.0.0.1:{self.http_port}/live/{stream}.flv"

    def pids(self) -> list[int]:
        self._child.check()
        return family(self._child.pid)

    def stop(self) -> None:
        self._child.stop()


class Streamd:
    """Ours, one worker, from the working tree; rooms and keys are put into its database before it starts."""

    name = "streamd"

    def __init__(
        self,
        folder: Path,
        *,
        rooms: Sequence[str] = (),
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`rooms`: slugs, at least four characters: the stream key of a room is its slug. `options` go to `serve`."""
        folder.mkdir(parents=True)
        self.rtmp_port, self.http_port = free_ports(2)
        environment = {
            "STREAMD_DATA_DIR": str(folder),
            "STREAMD_HTTP_HOST": "127.0.0.1",
            "STREAMD_HTTP_PORT": str(self.http_port),
            "STREAMD_RTMP_HOST": "127.0.0.1",
            "STREAMD_RTMP_PORT": str(self.rtmp_port),
            "STREAMD_LOG_LEVEL": "warning",
            **(settings or {}),
        }
        if rooms:
            open_rooms(f"sqlite+aiosqlite:///{folder}/streamd.db", rooms)
        argv = [sys.executable, "-m", "streamd", "serve", *options]
        self._child = Child(self.name, argv, log=folder / "streamd.log", env=environment)
        wait_for_port(self.http_port, self._child)
        wait_for_port(self.rtmp_port, self._child)

    def publish_url(self, stream: str) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live/{stream}"

    play_url = publish_url

    def http_url(self, path: str) -> str:
        """`path` begins with a slash."""
        return f"http://127.0.0.1:{self.http_port}{path}"

    def pids(self) -> list[int]:
        self._child.check()
        return family(self._child.pid)

    def stop(self) -> None:
        self._child.stop(patience_s=10)


def open_rooms(database_url: str, rooms: Sequence[str]) -> None:
    """Make rooms whose stream keys are their slugs, in a database that nobody else uses yet."""
    upgrade(database_url)

    async def create() -> None:
        engine = open_engine(database_url)
        try:
            register = Rooms(engine=engine, clock=SystemClock())
            for room in rooms:
                await register.create(room, stream_key=room)
        finally:
            await engine.dispose()

    asyncio.run(create())
