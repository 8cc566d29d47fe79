"""Migrations, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.db.engine import open_engine, ping
from streamd.db.migrate import SCRIPTS, downgrade, missing, upgrade
from streamd.db.schema import metadata
from streamd.db.tables import rooms
from streamd.errors import SettingsError, UnavailableError
from tests.support.mariadb import MariaDb
from tests.support.ports import free_port


def a_room(**changes: object) -> dict[str, object]:
    return {
        "slug": "demo",
        "title": "双十一 🎉",
        "owner": "",
        "created_at_ms": 1_800_000_000_000,
        "stream_key_hash": "0" * 64,
        "stream_key_rotated_at_ms": 1_800_000_000_000,
        "hints": {"gop_ms": 2000},
        **changes,
    }


def test_upgrade_applies_what_is_missing_and_then_nothing(database_url: str) -> None:
    expected = missing(database_url)
    assert expected[0] == "0001"
    assert upgrade(database_url) == expected
    assert upgrade(database_url) == []
    assert missing(database_url) == []


def test_revisions_are_one_line_in_the_order_of_their_file_names() -> None:
    scripts = ScriptDirectory(str(SCRIPTS))
    line = [script.revision for script in scripts.walk_revisions()][::-1]
    names = sorted(path.name for path in (SCRIPTS / "versions").glob("*.py"))
    assert [name.partition("_")[0] for name in names] == line


async def test_migrated_database_has_exactly_the_tables_of_the_code(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


def test_processes_that_start_together_do_not_trip_over_each_other(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(upgrade, [database_url] * 4))
    assert [[revision for revision in found if revision == "0001"] for found in sorted(applied)] == [
        [],
        [],
        [],
        ["0001"],
    ]


def test_every_revision_goes_down_and_up_again(database_url: str) -> None:
    revisions = upgrade(database_url)
    for count, revision in enumerate(reversed(revisions), start=1):
        before = revisions[-count - 1] if count < len(revisions) else "base"
        downgrade(database_url, before)
        again = upgrade(database_url)
        assert again == revisions[-count:], revision


async def test_upgrade_that_was_interrupted_between_columns_goes_on(database_url: str) -> None:
    await asyncio.to_thread(upgrade, database_url)
    await asyncio.to_thread(downgrade, database_url, "0010")
    opened = open_engine(database_url)
    async with opened.begin() as connection:
        await connection.execute(text("ALTER TABLE rooms ADD COLUMN announcement VARCHAR(1000) NOT NULL DEFAULT ''"))
    await opened.dispose()
    assert (await asyncio.to_thread(upgrade, database_url))[0] == "0011"


async def test_rooms_from_before_accounts_stay_public_and_talk_as_they_did(database_url: str) -> None:
    await asyncio.to_thread(upgrade, database_url)
    await asyncio.to_thread(downgrade, database_url, "0001")
    opened = open_engine(database_url)
    columns = "slug, title, owner, created_at_ms, stream_key_hash, stream_key_rotated_at_ms, hints"
    async with opened.begin() as connection:
        await connection.execute(text(f"INSERT INTO rooms ({columns}) VALUES ('old', 'Old', '', 1, 'x', 1, '{{}}')"))
    await asyncio.to_thread(upgrade, database_url)
    async with opened.connect() as connection:
        row = (await connection.execute(select(rooms))).one()
    await opened.dispose()
    assert (row.slug, row.access, row.chat, row.announcement, row.cut_until_ms) == ("old", "public", None, "", 0)


async def test_row_comes_back_as_it_went_in(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(rooms.insert().values(a_room()))
    async with engine.connect() as connection:
        row = (await connection.execute(select(rooms))).one()
    found = row._asdict()
    assert {name: found[name] for name in ("id", *a_room())} == {"id": 1, **a_room()}


async def test_names_compare_byte_for_byte(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(rooms.insert().values(a_room()))
        found = (await connection.execute(select(rooms.c.id).where(rooms.c.slug == "Demo"))).all()
        assert found == []
        await connection.execute(rooms.insert().values(a_room(slug="Demo", stream_key_hash="1" * 64)))


@pytest.mark.parametrize("same", ["slug", "stream_key_hash"])
async def test_name_and_key_are_unique(engine: AsyncEngine, same: str) -> None:
    other = a_room(slug="other", stream_key_hash="1" * 64) | {same: a_room()[same]}
    async with engine.begin() as connection:
        await connection.execute(rooms.insert().values(a_room()))
    with pytest.raises(IntegrityError):
        async with engine.begin() as connection:
            await connection.execute(rooms.insert().values(other))


async def test_missing_value_is_refused_and_not_invented(engine: AsyncEngine) -> None:
    row = a_room()
    del row["created_at_ms"]
    with pytest.raises((IntegrityError, OperationalError), match=r"created_at_ms"):
        async with engine.begin() as connection:
            await connection.execute(rooms.insert().values(row))


async def test_writers_of_two_processes_wait_for_each_other(engine: AsyncEngine, database_url: str) -> None:
    other = open_engine(database_url)
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(_insert((engine, other)[number % 2], number))
        async with engine.connect() as connection:
            assert len((await connection.execute(select(rooms.c.id))).all()) == 40
    finally:
        await other.dispose()


async def _insert(engine: AsyncEngine, number: int) -> None:
    async with engine.begin() as connection:
        row = a_room(slug=f"room-{number}", stream_key_hash=f"{number:064}")
        await connection.execute(rooms.insert().values(row))


async def test_cancelled_query_leaves_a_working_pool(engine: AsyncEngine) -> None:
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
    await ping(engine)


async def test_connections_that_the_server_cut_are_replaced(mariadb: MariaDb) -> None:
    url = mariadb.create_database()
    opened = open_engine(url)
    try:
        # All at once, so that the pool holds several.
        await asyncio.gather(*(ping(opened) for _ in range(4)))
        async with opened.connect() as connection:
            listed = await connection.execute(
                text("SELECT id FROM information_schema.processlist WHERE db = DATABASE()")
            )
            own = await connection.scalar(text("SELECT CONNECTION_ID()"))
            others = [number for (number,) in listed if number != own]
        for number in [*others, own]:
            await asyncio.to_thread(mariadb.execute, f"KILL {number}")
        await asyncio.gather(*(ping(opened) for _ in range(4)))
    finally:
        await opened.dispose()


async def test_statement_that_loses_its_server_says_that_it_is_away(mariadb: MariaDb) -> None:
    opened = open_engine(mariadb.create_database())
    try:
        async with opened.connect() as connection:
            number = await connection.scalar(text("SELECT CONNECTION_ID()"))
            await asyncio.to_thread(mariadb.execute, f"KILL {number}")
            with pytest.raises(UnavailableError) as caught:
                await connection.execute(text("SELECT 1"))
        assert caught.value.code == "database_unavailable"
        await ping(opened)
    finally:
        await opened.dispose()


async def test_writer_that_waited_in_vain_is_told_that_the_database_is_busy(engine: AsyncEngine) -> None:
    hurry = "SET innodb_lock_wait_timeout = 1" if engine.dialect.name == "mysql" else "PRAGMA busy_timeout = 50"
    change = text("UPDATE audit_head SET seq = 7")
    async with engine.connect() as first, engine.connect() as second:
        await first.execute(change)
        await second.exec_driver_sql(hurry)
        with pytest.raises(UnavailableError) as caught:
            await second.execute(change)
        await first.rollback()
    assert caught.value.code == "database_busy"


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/streamd.db"
    upgrade(url)
    with sqlite3.connect(tmp_path / "streamd.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SettingsError, match="schema 9999"):
        upgrade(url)


async def test_absent_server_is_named_without_its_password() -> None:
    url = f"mysql+aiomysql://root:hunter2@127.0.0.1:{free_port()}/streamd"
    with pytest.raises(UnavailableError) as caught:
        upgrade(url)
    assert "hunter2" not in caught.value.one_line()
    engine = open_engine(url)
    with pytest.raises(UnavailableError, match="does not answer"):
        await ping(engine)
    await engine.dispose()


def test_folder_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        upgrade(f"sqlite+aiosqlite:///{tmp_path}/nowhere/streamd.db")
    assert "STREAMD_DATA_DIR" in caught.value.fix
