"""Every asynchronous test runs on uvloop, as the product does; every test of the database on both dialects."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import settings

# Imported by the fixtures that need them: most tests know nothing of a database and should not wait for SQLAlchemy.
if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support.mariadb import MariaDb

# How long an example takes says how busy the machine is, not whether a law holds.
settings.register_profile("streamd", deadline=None)
settings.load_profile("streamd")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """One MariaDB server for the whole session."""
    from tests.support.mariadb import start_mariadb

    with start_mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the newest schema and nothing in it, to be copied: migrating takes longer than most tests."""
    from streamd.db.migrate import upgrade

    path = tmp_path_factory.mktemp("sqlite") / "streamd.db"
    upgrade(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of the test's own, run once for each dialect: empty, or migrated for a test that takes `engine`."""
    is_migrated = "engine" in request.fixturenames
    if request.param == "sqlite":
        if is_migrated:
            shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "streamd.db")
        yield f"sqlite+aiosqlite:///{tmp_path}/streamd.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    if not is_migrated:
        yield server.create_database()
        return
    url = server.take_migrated()
    yield url
    server.give_back(url)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A migrated database."""
    from streamd.db.engine import open_engine

    opened = open_engine(database_url)
    yield opened
    await opened.dispose()
