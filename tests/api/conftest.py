"""A database with rooms, for the API: the dialects are told apart in tests/accounts, SQLite is enough here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamd.accounts.rooms import Rooms
from streamd.db.engine import open_engine
from streamd.db.migrate import upgrade
from streamd.db.tables import users
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
