"""A database with rooms, for the API: the dialects are told apart in tests/accounts, SQLite is enough here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamd.accounts.opening import Accounts
from streamd.accounts.rooms import Rooms
from streamd.db.engine import open_engine
from streamd.db.migrate import upgrade
from streamd.db.tables import users
from tests.api.support import Client, Stage, open_stage, serve_areas
from tests.support.accounts import person
from tests.support.clock import FakeClock


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    url = f"sqlite+aiosqlite:///{tmp_path}/streamd.db"
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    rooms = Rooms(engine=engine, clock=FakeClock())
    async with engine.begin() as connection:
        host = {"name": "alice", "display_name": "Alice", "role": "host", "level": 0, "generation": 0}
        await connection.execute(users.insert().values(host | {"password_hash": "", "created_at_ms": 0}))
    for name in ("demo", "quiet", "summer"):
        await rooms.create(name, title=f"The {name} show", owner="alice")
    yield rooms
    await engine.dispose()


@pytest.fixture
async def stage(tmp_path: Path, migrated_sqlite: Path) -> AsyncIterator[Stage]:
    """A server with people: two rooms, and somebody of every role."""
    async with open_stage(tmp_path, migrated_sqlite) as stage:
        await people(stage.accounts)
        yield stage


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[Client]:
    async with serve_areas(stage.areas(), border=stage.border(), clock=stage.clock) as client:
        yield client


async def people(accounts: Accounts) -> None:
    """admin; host, assistant and moderator of room `demo`; rival, host of room `other`; viewer."""
    await person(accounts, "admin", role="admin")
    for name in ("host", "rival"):
        await person(accounts, name, role="host")
    await accounts.rooms.create("demo", title="The demo show", owner="host")
    await accounts.rooms.create("other", owner="rival")
    for name in ("assistant", "moderator"):
        await person(accounts, name, room="demo", as_=name)
    await person(accounts, "viewer")
