"""Connections that the database server ends are made anew, without anybody noticing."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.engine import open_engine
from tests.support.mariadb import MariaDb


async def _ids(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(text("SELECT CONNECTION_ID()")) or 0)


async def test_killed_connections_are_replaced_before_they_are_used(mariadb: MariaDb) -> None:
    url = mariadb.create_database()
    engine, other = open_engine(url), open_engine(url)
    try:
        kept = [await engine.connect() for _ in range(3)]
        ids = [int(await each.scalar(text("SELECT CONNECTION_ID()")) or 0) for each in kept]
        for each in kept:
            await each.close()  # back into the pool
        async with other.connect() as killer:
            for number in ids:
                await killer.execute(text(f"KILL {number}"))
        for _ in range(5):
            assert await _ids(engine) not in ids
    finally:
        await engine.dispose()
        await other.dispose()
