"""Two transactions that stand in each other's way are both done: the one that was given up is made anew."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from streamd.db.busy import TRIES, in_transaction
from streamd.db.engine import open_engine
from streamd.errors import UnavailableError
from tests.support.mariadb import MariaDb


async def test_both_of_a_deadlock_are_committed_in_the_end(mariadb: MariaDb) -> None:
    opened = open_engine(mariadb.create_database())
    tries = {"12": 0, "21": 0}
    both_hold_one = asyncio.Barrier(2)

    async def add(order: str) -> None:
        async def work(connection: AsyncConnection) -> None:
            tries[order] += 1
            await add_one(connection, order[0])
            if tries[order] == 1:
                await both_hold_one.wait()
            await add_one(connection, order[1])

        await in_transaction(opened, work)

    try:
        async with opened.begin() as connection:
            await connection.execute(text("CREATE TABLE counts (id INT PRIMARY KEY, n INT NOT NULL) ENGINE = InnoDB"))
            await connection.execute(text("INSERT INTO counts VALUES (1, 0), (2, 0)"))
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(add("12"))
            group.create_task(add("21"))
        async with opened.connect() as connection:
            found = (await connection.execute(text("SELECT n FROM counts ORDER BY id"))).scalars().all()
    finally:
        await opened.dispose()
    assert list(found) == [2, 2]
    assert sorted(tries.values()) == [1, 2]


async def add_one(connection: AsyncConnection, number: str) -> None:
    await connection.execute(text("UPDATE counts SET n = n + 1 WHERE id = :number"), {"number": number})


async def test_what_stays_busy_is_told_and_what_is_away_is_not_tried_again(engine: AsyncEngine) -> None:
    codes: list[str] = []

    async def fails(code: str) -> None:
        async def work(connection: AsyncConnection) -> None:
            codes.append(code)
            raise UnavailableError("the database is not to be had", why="a test", fix="none", code=code)

        with pytest.raises(UnavailableError):
            await in_transaction(engine, work)

    await fails("database_busy")
    await fails("database_away")
    assert codes == ["database_busy"] * TRIES + ["database_away"]
