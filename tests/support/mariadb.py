"""A real MariaDB of the test session's own: a folder in /tmp, a free port on 127.0.0.1, gone afterwards."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

from tests.support.ports import free_port

_numbers = itertools.count(1)


class MariaDb:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._migrated: list[str] = []

    def take_migrated(self) -> str:
        """A database with the newest schema and nothing in it."""
        from streamd.db.migrate import upgrade

        if self._migrated:
            return self._migrated.pop()
        url = self.create_database()
        upgrade(url)
        return url

    def give_back(self, url: str) -> None:
        """Empty it for the next test: making the tables anew takes longer than most tests."""
        name = url.rpartition("/")[2]
        with pymysql.connect(host="127.0.0.1", port=self.port, user="root", database=name) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET foreign_key_checks = 0")
                # Those that hold nothing and never counted are as they were; information_schema is slow to say which.
                cursor.execute("SHOW TABLES")
                for (table,) in cursor.fetchall():
                    if table not in ("alembic_version", "audit_head") and cursor.execute(f"DELETE FROM `{table}`"):
                        cursor.execute(f"ALTER TABLE `{table}` AUTO_INCREMENT = 1")
                cursor.execute("REPLACE INTO audit_head (id, seq, hash) VALUES (1, 0, '')")
            connection.commit()
        self._migrated.append(url)

    def create_database(self) -> str:
        """A fresh, empty database; its address for `STREAMD_DATABASE_URL`."""
        name = f"streamd_{next(_numbers)}"
        # The server's default is latin1 on purpose: what must be utf8mb4 has to say so itself.
        self.execute(f"CREATE DATABASE {name}")
        return f"mysql+aiomysql://root@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        with pymysql.connect(host="127.0.0.1", port=self.port, user="root") as connection, connection.cursor() as c:
            c.execute(statement)


@contextmanager
def start_mariadb(folder: Path) -> Iterator[MariaDb]:
    """Install and start a server in `folder`; ready when this yields."""
    data = folder / "mariadb"
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    subprocess.run([*install, "--auth-root-authentication-method=normal", *as_root], check=True, **quiet)
    port = free_port()
    log = (folder / "mariadb.log").open("wb")
    # /usr/sbin is not on every user's PATH.
    program = shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert program, "mariadbd is not installed: `make test` says how to install it"
    arguments = [f"--datadir={data}", f"--socket={folder}/s", f"--port={port}", "--bind-address=127.0.0.1"]
    tuning = ["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]
    charset = ["--character-set-server=latin1"]
    server = subprocess.Popen(
        [program, "--no-defaults", *as_root, *arguments, *tuning, *charset], stdout=log, stderr=log
    )
    try:
        _wait(server, port, folder / "mariadb.log")
        yield MariaDb(port)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"mariadbd did not start:\n{log.read_text(errors='replace')[-2000:]}")
