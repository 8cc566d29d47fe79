"""SQLite as processes share it: several that open a new file at once all get it."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from sqlalchemy.pool import ConnectionPoolEntry

from streamd.db.engine import prepare_sqlite


def test_many_who_open_a_new_file_at_once_all_write_ahead(tmp_path: Path) -> None:
    people = 6
    barrier = Barrier(people)

    def open_it(path: Path) -> str:
        with sqlite3.connect(path, timeout=0) as connection:
            barrier.wait(10)
            prepare_sqlite(connection, ConnectionPoolEntry())  # type: ignore[arg-type]
            mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
        connection.close()
        return mode

    with ThreadPoolExecutor(people) as pool:
        for number in range(40):
            modes = list(pool.map(open_it, [tmp_path / f"{number}.db"] * people))
            assert modes == ["wal"] * people
