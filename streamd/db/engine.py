"""Opens the database that `STREAMD_DATABASE_URL` names: SQLAlchemy Core on aiosqlite or aiomysql.

Both dialects are set up so that the same statements mean the same: foreign keys are enforced, strings compare by bytes
where a column asks for it (`tables.ascii_key`), a too long value is an error and not cut, times are integers.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from streamd.errors import UnavailableError

# What those who hand it on, and never query, call it.
Database: TypeAlias = AsyncEngine

# A writer waits this long for another one. Within a process writes are short; `streamd room create` beside a running
# server is the usual second writer.
SQLITE_BUSY_TIMEOUT_MS = 5_000
MYSQL_CONNECT_TIMEOUT_S = 5
# Below MySQL's default wait_timeout (8 hours) and what load balancers cut.
MYSQL_RECYCLE_S = 1_800


def parse_url(url: str) -> URL:
    """The address as SQLAlchemy's own type, with what each dialect must always have."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "mysql":
        # Without it the server's own default decides whether an emoji in a title is stored or refused.
        return parsed.update_query_dict({"charset": "utf8mb4"})
    return parsed


def open_engine(url: str) -> Database:
    """An engine with its pool. Nothing is connected yet; the owner calls `await engine.dispose()`.

    Statements raise UnavailableError where the database is away or too busy, else SQLAlchemy's own errors.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_async_engine(parsed)
        event.listen(engine.sync_engine, "connect", prepare_sqlite)
        event.listen(engine.sync_engine, "handle_error", _telling(parsed))
        return engine
    engine = create_async_engine(
        parsed,
        pool_pre_ping=True,
        pool_recycle=MYSQL_RECYCLE_S,
        # The default of MySQL (repeatable read) takes gap locks that make unrelated inserts wait for each other.
        isolation_level="READ COMMITTED",
        connect_args=mysql_arguments(),
    )
    event.listen(engine.sync_engine, "handle_error", _telling(parsed))
    return engine


def mysql_arguments() -> dict[str, Any]:
    """What every connection to MySQL or MariaDB is opened with."""
    return {
        "connect_timeout": MYSQL_CONNECT_TIMEOUT_S,
        "init_command": "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'",
    }


def prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """What SQLite forgets with every connection."""
    cursor = connection.cursor()
    try:
        # Readers and the one writer do not wait for each other; NORMAL is durable across a crash of the process.
        cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}")
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _write_ahead(cursor: DBAPICursor) -> None:
    """The file remembers its mode. Of two that change a new file's at once, SQLite refuses one without any waiting."""
    give_up_s = time.monotonic() + SQLITE_BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "is locked" not in str(error) or time.monotonic() >= give_up_s:
                raise
            time.sleep(0.01)


# MySQL: cannot connect, no such host, gone away, lost in mid-query; a lock that was waited for in vain, a deadlock.
_AWAY = frozenset({1040, 1053, 1927, 2002, 2003, 2005, 2006, 2013, 2055})
_BUSY = frozenset({1205, 1213})


def _telling(url: URL) -> Callable[[ExceptionContext], None]:
    """What passes by itself becomes an UnavailableError, which every border knows to be worth another try."""

    def tell(context: ExceptionContext) -> None:
        # A pre-ping that fails is the pool's business: it connects anew.
        if context.is_pre_ping or not isinstance(context.sqlalchemy_exception, OperationalError | InterfaceError):
            return
        error = context.original_exception
        code = error.args[0] if error.args else None
        if context.is_disconnect or code in _AWAY or "unable to open database" in str(error):
            raise unreachable(url, Exception(str(error))) from error
        if code in _BUSY or "is locked" in str(error):
            raise UnavailableError(
                "the database is busy",
                why=str(error),
                fix="try again; if it stays, look for a long transaction",
                code="database_busy",
            ) from error

    return tell


async def ping(engine: AsyncEngine) -> None:
    """One round trip. Raises UnavailableError. Cancel-safe: yes."""
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
    except (SQLAlchemyError, OSError) as error:
        raise unreachable(engine.url, error) from error


def unreachable(url: URL, error: Exception) -> UnavailableError:
    """Why the database did not answer, without its password."""
    shown = url.render_as_string(hide_password=True)
    cause = str(getattr(error, "orig", None) or error)
    if url.get_backend_name() == "sqlite":
        fix = "point STREAMD_DATA_DIR or STREAMD_DATABASE_URL at a file that this user may write"
    else:
        fix = "start the database server, or correct STREAMD_DATABASE_URL"
    return UnavailableError(f"the database {shown} does not answer", why=cause, fix=fix, code="database_unavailable")
