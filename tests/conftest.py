"""Every asynchronous test runs on uvloop, as the product does; every test of the database on both dialects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

# Imported by the fixtures that need them: most tests know nothing of a database and should not wait for SQLAlchemy.
if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.support.mariadb import MariaDb


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


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database; a test that takes it runs once for each dialect."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/streamd.db"
    server: MariaDb = request.getfixturevalue("mariadb")
    return server.create_database()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A migrated database."""
    from streamd.db.engine import open_engine
    from streamd.db.migrate import upgrade

    await asyncio.to_thread(upgrade, database_url)
    opened = open_engine(database_url)
    yield opened
    await opened.dispose()
