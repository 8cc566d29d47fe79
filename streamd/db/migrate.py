"""Brings a database to the newest schema: Alembic, run from code on migrations that ship inside the package.

Alembic is synchronous; everything here runs on sqlite3 or PyMySQL and is called in a thread by asynchronous code.
DDL is not transactional on MySQL, so a revision holds one statement that changes the schema. Revisions are one line,
numbered in the order of their file names; so whether one is missing is known without loading Alembic, which takes as
long as the rest of a start (0.3 s), and nearly every start finds nothing missing.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from streamd.db.engine import mysql_arguments, parse_url, prepare_sqlite, unreachable
from streamd.errors import SettingsError

if TYPE_CHECKING:
    from alembic.config import Config

SYNCHRONOUS_DRIVERS = {"sqlite": "sqlite+pysqlite", "mysql": "mysql+pymysql"}
LOCK_WAIT_S = 60
SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> list[str]:
    """Apply what is missing; the revisions applied, oldest first. Safe to repeat.

    Raises UnavailableError (no database), SettingsError (the database is from a newer streamd).
    """
    with _connection(url) as connection, _alone(connection):
        missing = _missing(connection)
        if missing:
            _apply(connection)
        return missing


def missing(url: str) -> list[str]:
    """The revisions that `upgrade` would apply, oldest first. Raises as `upgrade`."""
    with _connection(url) as connection:
        return _missing(connection)


def downgrade(url: str, revision: str) -> None:
    """Go back to `revision` ("base": an empty database). What later revisions added is lost, with what it holds."""
    from alembic import command

    with _connection(url) as connection, _alone(connection):
        command.downgrade(_config(connection), revision)


def _apply(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    # Lines about dialects; what was applied is returned to whoever asked for it.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _missing(connection: Connection) -> list[str]:
    revisions = sorted(path.name.partition("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*.py"))
    present = None
    if inspect(connection).has_table("alembic_version"):
        present = connection.scalar(text("SELECT version_num FROM alembic_version"))
    connection.rollback()  # ends the transaction of that query: Alembic opens one for each revision
    if present is None:
        return revisions
    if present not in revisions:
        raise SettingsError(
            f"the database is at schema {present}, which this streamd does not know",
            why="a newer version has migrated it, and there is no way back",
            fix="run that version or a newer one, or restore the backup from before",
        )
    return revisions[revisions.index(present) + 1 :]


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Of two processes that start together the second one waits, and finds nothing missing."""
    path = connection.engine.url.database
    if connection.dialect.name == "sqlite":
        with open(f"{path}.migrating", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # freed when the file is closed, also by a crash
            yield
        return
    with connection.engine.connect() as keeper:
        keeper.execute(text("SELECT GET_LOCK(:name, :seconds)"), {"name": "streamd_migrate", "seconds": LOCK_WAIT_S})
        yield


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    arguments = mysql_arguments() if backend == "mysql" else {}
    engine = create_engine(
        parsed.set(drivername=SYNCHRONOUS_DRIVERS[backend]), poolclass=NullPool, connect_args=arguments
    )
    if backend == "sqlite":
        event.listen(engine, "connect", prepare_sqlite)
    try:
        try:
            connection = engine.connect()
        except (SQLAlchemyError, OSError) as error:
            raise unreachable(parsed, error) from error
        with connection:
            yield connection
    finally:
        engine.dispose()
