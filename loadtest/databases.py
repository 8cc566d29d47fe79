"""A MariaDB for one run: installed into the run's folder, durable as a shop's must be, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from loadtest.machine import family
from loadtest.processes import Child, free_ports, wait_for_port


class MariaDb:
    """A server on loopback. Every commit is on the disk before it is answered (flush at each commit, as by default)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        data = folder / "data"
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        install = [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={folder}",
            "--skip-test-db",
            *as_root,
        ]
        install.append("--auth-root-authentication-method=normal")
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (self.port,) = free_ports(1)
        program = shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            raise RuntimeError("mariadbd is not installed")
        where = [
            f"--datadir={data}",
            f"--socket={folder}/s",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--tmpdir={folder}",
        ]
        first = folder / "first.sql"
        first.write_text("CREATE DATABASE IF NOT EXISTS streamd;\n", encoding="utf-8")
        shape = [
            f"--init-file={first}",
            "--innodb-buffer-pool-size=128M",
            "--innodb-log-file-size=256M",
            "--skip-log-bin",
        ]
        argv = [program, "--no-defaults", *as_root, *where, *shape]
        self._argv, self._log = argv, folder / "mariadbd.log"
        self.start()
        self.url = f"mysql+aiomysql://root@127.0.0.1:{self.port}/streamd"

    def start(self) -> None:
        """Also again, after `kill`."""
        self._child = Child("mariadbd", self._argv, log=self._log)
        wait_for_port(self.port, self._child)

    def kill(self) -> None:
        """As a crash."""
        self._child.popen.kill()
        self._child.popen.wait(10)

    def pids(self) -> list[int]:
        """Its processes."""
        self._child.check()
        return family(self._child.pid)

    def stop(self) -> None:
        """End it."""
        self._child.stop(patience_s=10)
