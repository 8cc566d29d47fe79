"""The audit log, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.audit import AuditLog, Deed
from streamd.accounts.node_secret import NodeSecret
from streamd.accounts.opening import Accounts
from streamd.db.engine import open_engine
from streamd.errors import ConflictError, UnavailableError
from tests.support.clock import FakeClock


def deed(number: int) -> Deed:
    return Deed(
        actor="hana", role="host", action="room.change", room="demo", target=f"t{number}", detail={"title": "夏 🎉"}
    )


@pytest.fixture
async def audit(accounts: Accounts) -> AuditLog:
    for number in range(1, 6):
        assert await accounts.audit.record(deed(number)) == number
    return accounts.audit


async def test_chain_that_nobody_touched_holds(audit: AuditLog) -> None:
    verdict = await audit.verify()
    assert verdict.count == 5
    assert await audit.verify(head=verdict.head) == verdict
    (newest, *_) = entries = await audit.page(limit=3)
    assert ([one.seq for one in entries], newest.target, newest.hash) == ([5, 4, 3], "t5", verdict.head)
    assert [one.seq for one in await audit.page(limit=3, before=3, room="demo")] == [2, 1]


async def test_empty_chain_holds(accounts: Accounts) -> None:
    assert (await accounts.audit.verify()).count == 0


@pytest.mark.parametrize(
    ("tampering", "told"),
    [
        ("UPDATE audit_log SET actor = 'bob' WHERE seq = 3", "entry 3"),
        ("UPDATE audit_log SET detail = '{}' WHERE seq = 5", "entry 5"),
        ("UPDATE audit_log SET at_ms = at_ms + 1 WHERE seq = 1", "entry 1"),
        ("UPDATE audit_log SET hash = 'x' WHERE seq = 2", "entry 2"),
        ("DELETE FROM audit_log WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM audit_log WHERE seq = 5", "entries after 4"),
        ("DELETE FROM audit_log", "entries after 0"),
        ("UPDATE audit_head SET seq = 4", "entry 4"),
        ("DELETE FROM audit_head", "the head"),
    ],
)
async def test_tampering_is_found_and_located(audit: AuditLog, engine: AsyncEngine, tampering: str, told: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(tampering))
    with pytest.raises(ConflictError) as caught:
        await audit.verify()
    assert told in caught.value.why


async def test_chain_cut_off_with_its_head_is_found_by_a_head_that_was_noted(
    audit: AuditLog, engine: AsyncEngine
) -> None:
    noted = (await audit.verify()).head
    async with engine.begin() as connection:
        third = await connection.scalar(text("SELECT hash FROM audit_log WHERE seq = 3"))
        await connection.execute(text("DELETE FROM audit_log WHERE seq > 3"))
        await connection.execute(text("UPDATE audit_head SET seq = 3, hash = :hash"), {"hash": third})
    await audit.verify()
    with pytest.raises(ConflictError, match="tampered"):
        await audit.verify(head=noted)


async def test_chain_cannot_be_made_without_the_secret(engine: AsyncEngine, audit: AuditLog) -> None:
    stranger = AuditLog(engine=engine, clock=FakeClock(), secret=NodeSecret(b"x" * 32))
    await stranger.record(deed(6))
    with pytest.raises(ConflictError) as caught:
        await audit.verify()
    assert "entry 6" in caught.value.why


async def test_entries_of_two_processes_at_once_make_one_chain(
    engine: AsyncEngine, database_url: str, accounts: Accounts, clock: FakeClock, tmp_path: Path
) -> None:
    second = open_engine(database_url)
    logs = [accounts.audit, AuditLog(engine=second, clock=clock, secret=accounts.secret)]
    try:
        numbers = await asyncio.gather(*(logs[number % 2].record(deed(number)) for number in range(40)))
    finally:
        await second.dispose()
    assert sorted(numbers) == list(range(1, 41))
    assert (await accounts.audit.verify()).count == 40


async def test_entry_of_a_transaction_that_failed_is_not_there(audit: AuditLog, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await audit.append(connection, deed(6))
        await connection.rollback()
    assert (await audit.verify()).count == 5
    assert await audit.record(deed(6)) == 6


async def test_nothing_is_done_that_cannot_be_recorded(audit: AuditLog, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM audit_head"))
    with pytest.raises(UnavailableError):
        await audit.record(deed(6))
