"""Roles in rooms, and invitations, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.members import KNOWN_KEEP_MS
from streamd.accounts.opening import Accounts
from streamd.accounts.users import User
from streamd.errors import ConflictError, InvalidError, NotFoundError
from tests.accounts.test_users import rows
from tests.support.accounts import accounts_over, person
from tests.support.clock import FakeClock

HOUR_MS = 3_600_000


@pytest.fixture
async def host(accounts: Accounts) -> User:
    user = await person(accounts, "hana", role="host")
    await accounts.rooms.create("demo", owner="hana")
    await accounts.rooms.create("other")
    return user


async def test_owner_of_a_new_room_is_its_host_and_nobody_elsewhere(accounts: Accounts, host: User) -> None:
    assert await accounts.members.role(host.id, "demo") == "host"
    assert await accounts.members.role(host.id, "other") == "viewer"
    assert await accounts.members.role(host.id, "no room!") == "viewer"


async def test_room_of_an_unknown_owner_is_not_made(accounts: Accounts) -> None:
    with pytest.raises(NotFoundError) as caught:
        await accounts.rooms.create("demo", owner="nobody")
    assert "streamd user create nobody" in caught.value.fix
    assert await accounts.rooms.exists("demo") is False


async def test_admin_is_admin_everywhere(accounts: Accounts, host: User) -> None:
    root = await person(accounts, "root", role="admin")
    assert await accounts.identities.role(root, "demo") == "admin"
    assert await accounts.identities.role(host, "demo") == "host"


async def test_role_is_given_changed_and_taken(accounts: Accounts, host: User) -> None:
    alice = await person(accounts, "alice")
    for role in ("assistant", "moderator"):
        await accounts.members.put("demo", "alice", role)
        assert await accounts.members.role(alice.id, "demo") == role
    assert [(one.name, one.role) for one in await accounts.members.of_room("demo")] == [
        ("alice", "moderator"),
        ("hana", "host"),
    ]
    assert [(one.room, one.role) for one in await accounts.members.of_user(alice.id)] == [("demo", "moderator")]
    await accounts.members.remove("demo", "alice")
    assert await accounts.members.role(alice.id, "demo") == "viewer"
    with pytest.raises(NotFoundError):
        await accounts.members.remove("demo", "alice")


async def test_room_keeps_its_last_host(accounts: Accounts, host: User) -> None:
    with pytest.raises(ConflictError):
        await accounts.members.remove("demo", "hana")
    assert await accounts.members.role(host.id, "demo") == "host"
    assert len(await accounts.members.of_room("demo")) == 1


async def test_unknown_rooms_people_and_roles_are_named(accounts: Accounts, host: User) -> None:
    with pytest.raises(NotFoundError, match="no room"):
        await accounts.members.put("nowhere", "hana", "host")
    with pytest.raises(NotFoundError, match="no account"):
        await accounts.members.put("demo", "nobody", "host")
    with pytest.raises(InvalidError, match="no role"):
        await accounts.members.put("demo", "hana", "admin")


async def test_member_put_twice_at_once_is_one_member(accounts: Accounts, host: User) -> None:
    await person(accounts, "alice")
    await asyncio.gather(*(accounts.members.put("demo", "alice", "assistant") for _ in range(6)))
    assert len(await accounts.members.of_room("demo")) == 2


async def test_change_by_another_process_is_known_soon(
    accounts: Accounts, host: User, engine: AsyncEngine, clock: FakeClock, tmp_path: Path
) -> None:
    other = accounts_over(engine, clock=clock, data_dir=tmp_path)
    alice = await person(accounts, "alice")
    assert await other.members.role(alice.id, "demo") == "viewer"
    await accounts.members.put("demo", "alice", "assistant")
    clock.advance(KNOWN_KEEP_MS)
    assert await other.members.role(alice.id, "demo") == "assistant"


# --- invitations ---


async def test_invitation_makes_one_person_a_member_once(accounts: Accounts, host: User, engine: AsyncEngine) -> None:
    alice, bob = await person(accounts, "alice"), await person(accounts, "bob")
    made, secret = await accounts.invitations.create("demo", role="assistant", by="hana", keep_ms=HOUR_MS)
    assert secret not in await rows(engine, "invitations")
    used = await accounts.invitations.accept(secret, alice)
    assert (used.id, used.used_by, used.room) == (made.id, "alice", "demo")
    assert await accounts.members.role(alice.id, "demo") == "assistant"
    with pytest.raises(NotFoundError):
        await accounts.invitations.accept(secret, bob)
    assert await accounts.members.role(bob.id, "demo") == "viewer"


async def test_of_many_who_open_a_link_at_once_one_joins(accounts: Accounts, host: User) -> None:
    people = [await person(accounts, f"user{number}") for number in range(5)]
    _, secret = await accounts.invitations.create("demo", role="moderator", by="hana", keep_ms=HOUR_MS)
    results = await asyncio.gather(
        *(accounts.invitations.accept(secret, one) for one in people), return_exceptions=True
    )
    assert sum(not isinstance(result, NotFoundError) for result in results) == 1
    assert len(await accounts.members.of_room("demo")) == 2


async def test_invitation_that_expired_or_was_taken_back_is_worth_nothing(
    accounts: Accounts, host: User, clock: FakeClock
) -> None:
    alice = await person(accounts, "alice")
    _, late = await accounts.invitations.create("demo", role="assistant", by="hana", keep_ms=HOUR_MS)
    clock.advance(HOUR_MS)
    gone, taken_back = await accounts.invitations.create("demo", role="assistant", by="hana", keep_ms=HOUR_MS)
    with pytest.raises(NotFoundError):
        await accounts.invitations.revoke("other", gone.id)
    await accounts.invitations.revoke("demo", gone.id)
    for secret in (late, taken_back, "never was", ""):
        with pytest.raises(NotFoundError):
            await accounts.invitations.accept(secret, alice)
    with pytest.raises(NotFoundError):
        await accounts.invitations.revoke("demo", gone.id)
    assert [one.revoked_at_ms is not None for one in await accounts.invitations.of_room("demo")] == [True, False]


async def test_invitation_makes_nobody_less_than_they_are(accounts: Accounts, host: User) -> None:
    _, secret = await accounts.invitations.create("demo", role="moderator", by="hana", keep_ms=HOUR_MS)
    await accounts.invitations.accept(secret, host)
    assert await accounts.members.role(host.id, "demo") == "host"


@pytest.mark.parametrize(("role", "keep_ms"), [("viewer", HOUR_MS), ("admin", HOUR_MS), ("assistant", 1)])
async def test_invitation_to_nothing_or_for_no_time_is_refused(
    accounts: Accounts, host: User, role: str, keep_ms: int
) -> None:
    with pytest.raises(InvalidError):
        await accounts.invitations.create("demo", role=role, by="hana", keep_ms=keep_ms)
