"""Accounts, on SQLite and on MariaDB."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.opening import Accounts
from streamd.accounts.texts import normal_phone
from streamd.accounts.users import KNOWN_KEEP_MS
from streamd.db.tables import users
from streamd.errors import ConflictError, InvalidError, NotFoundError, SettingsError
from tests.support.accounts import PASSWORD, accounts_over, person
from tests.support.clock import FakeClock


async def rows(engine: AsyncEngine, table: str) -> str:
    async with engine.connect() as connection:
        return repr((await connection.execute(text(f"SELECT * FROM {table}"))).all())


async def test_created_account_is_found_by_name_and_by_id(accounts: Accounts) -> None:
    user = await accounts.users.create("mei.lin", password=PASSWORD, display_name="美琳 🎉")
    assert (user.name, user.display_name, user.role, user.public_id) == ("mei.lin", "美琳 🎉", "viewer", f"u{user.id}")
    assert await accounts.users.named("mei.lin") == user
    assert await accounts.users.known(user.id) == user


async def test_name_is_given_once(accounts: Accounts) -> None:
    await person(accounts, "alice")
    with pytest.raises(ConflictError) as caught:
        await person(accounts, "alice")
    assert caught.value.code == "account_exists"


@pytest.mark.parametrize("name", ["", "a", "Alice", "-a", "a b", "a" * 33, "ä1", "a\n1", "../x"])
async def test_name_that_is_no_name_is_refused_and_never_found(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidError, match="cannot be called"):
        await person(accounts, name)
    with pytest.raises(NotFoundError):
        await accounts.users.named(name)


@pytest.mark.parametrize("password", ["", "short", "x" * 129])
async def test_password_of_a_wrong_length_is_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(InvalidError) as caught:
        await accounts.users.create("alice", password=password)
    assert caught.value.code == "password_length"


async def test_password_is_not_in_the_database(accounts: Accounts, engine: AsyncEngine) -> None:
    await person(accounts, "alice")
    stored = await rows(engine, "users")
    assert PASSWORD not in stored
    assert "$argon2id$" in stored


async def test_personal_data_is_sealed_and_found_by_its_index(accounts: Accounts, engine: AsyncEngine) -> None:
    alice = await person(accounts, "alice")
    await person(accounts, "bob")
    await accounts.users.set_personal(alice.id, phone="138 1234 5678", address="上海市 徐汇区 1 号")
    found = await accounts.users.personal(alice.id)
    assert (found.phone, found.address) == ("+8613812345678", "上海市 徐汇区 1 号")
    stored = await rows(engine, "users")
    assert "1234" not in stored
    assert "徐汇" not in stored
    assert [user.name for user in await accounts.users.with_phone("+86 (138) 1234-5678")] == ["alice"]
    await accounts.users.set_personal(alice.id, phone="")
    assert (await accounts.users.personal(alice.id)).phone == ""
    assert await accounts.users.with_phone("13812345678") == []
    assert (await accounts.users.personal(alice.id)).address == "上海市 徐汇区 1 号"


async def test_sealed_data_cannot_be_moved_to_another_account(accounts: Accounts, engine: AsyncEngine) -> None:
    alice, bob = await person(accounts, "alice"), await person(accounts, "bob")
    await accounts.users.set_personal(alice.id, phone="13812345678")
    async with engine.begin() as connection:
        sealed = await connection.scalar(text("SELECT phone_sealed FROM users WHERE name = 'alice'"))
        await connection.execute(update(users).where(users.c.id == bob.id).values(phone_sealed=sealed))
    with pytest.raises(SettingsError, match="cannot be opened"):
        await accounts.users.personal(bob.id)


async def test_sealed_data_is_not_opened_by_another_key(
    accounts: Accounts, engine: AsyncEngine, clock: FakeClock, tmp_path: Path
) -> None:
    alice = await person(accounts, "alice")
    await accounts.users.set_personal(alice.id, phone="13812345678")
    (tmp_path / "other").mkdir()
    other = accounts_over(engine, clock=clock, data_dir=tmp_path / "other")
    with pytest.raises(SettingsError) as caught:
        await other.users.personal(alice.id)
    assert "personal.key" in caught.value.fix
    assert await other.users.with_phone("13812345678") == []


@pytest.mark.parametrize("phone", ["12", "abc", "+0123456789", "1381234567890123", "２"])
def test_what_is_no_phone_number_is_refused(phone: str) -> None:
    with pytest.raises(InvalidError):
        normal_phone(phone)


@pytest.mark.parametrize("phone", ["+44 20 7946 0958", "0044 20 7946 0958", "＋44 20 7946 0958"])
def test_ways_to_write_a_phone_number_are_one(phone: str) -> None:
    assert normal_phone(phone) == "+442079460958"


async def test_change_is_known_here_at_once_and_in_another_process_soon(
    accounts: Accounts, engine: AsyncEngine, clock: FakeClock, tmp_path: Path
) -> None:
    other = accounts_over(engine, clock=clock, data_dir=tmp_path)
    alice = await person(accounts, "alice")
    assert await other.users.known(alice.id) == alice
    await accounts.users.rename(alice.id, "Alice L.")
    here, there = await accounts.users.known(alice.id), await other.users.known(alice.id)
    assert here is not None
    assert (here.display_name, there) == ("Alice L.", alice)
    clock.advance(KNOWN_KEEP_MS)
    assert await other.users.known(alice.id) == here


async def test_role_of_an_account_is_one_of_four(accounts: Accounts) -> None:
    await person(accounts, "alice")
    assert (await accounts.users.set_role("alice", "host")).role == "host"
    with pytest.raises(InvalidError):
        await accounts.users.set_role("alice", "emperor")
    with pytest.raises(NotFoundError):
        await accounts.users.set_role("nobody", "host")
