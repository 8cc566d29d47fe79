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
    """A running server; may be killed and started again on its port."""

    def __init__(self, port: int, command: list[str], log: Path) -> None:
        self.port = port
        self._command = command
        self._log = log
        self._migrated: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Ready when this returns."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        _wait(self._process, self.port, self._log)

    def kill(self) -> None:
        """As a crash: what was not on its way to the disk is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """An orderly end."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

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
def start_mariadb(folder: Path, *, is_durable: bool = False) -> Iterator[MariaDb]:
    """Install and start a server in `folder`; ready when this yields. A durable one keeps what it committed when it is
    killed."""
    data = folder / "mariadb"
    # A server that starts clears its folder of temporary tables: in /tmp those of all the others beside it as well.
    temporary = folder / "tmp"
    temporary.mkdir()
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--tmpdir={temporary}", "--skip-test-db"]
    install += ["--auth-root-authentication-method=normal", *as_root]
    made = subprocess.run(install, check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    port = free_port()
    # /usr/sbin is not on every user's PATH.
    program = shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert program, "mariadbd is not installed: `make test` says how to install it"
    arguments = [f"--datadir={data}", f"--tmpdir={temporary}", f"--socket={folder}/s"]
    arguments += [f"--port={port}", "--bind-address=127.0.0.1"]
    # Without a promise to keep nothing waits for the disk, which on a shared machine may take its time.
    flush = ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0"]
    tuning = ["--innodb-buffer-pool-size=16M", "--skip-log-bin", *([] if is_durable else flush)]
    charset = ["--character-set-server=latin1"]
    command = [program, "--no-defaults", *as_root, *arguments, *tuning, *charset]
    server = MariaDb(port, command, folder / "mariadb.log")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"mariadbd did not start:\n{log.read_text(errors='replace')[-2000:]}")
