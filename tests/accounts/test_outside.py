"""Sessions by an identity provider's word, on both dialects."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.opening import Accounts, open_accounts
from streamd.accounts.outside import NO_PASSWORD
from streamd.accounts.throttle import Allowance
from streamd.cluster.rates import InProcessRates
from streamd.db.tables import identities, users
from streamd.errors import ForbiddenError, LimitedError, NotFoundError, UnauthenticatedError
from streamd.telemetry.log import get_log
from tests.support.accounts import CHEAP
from tests.support.clock import FakeClock


class Trusting:
    """A provider whose code is the person."""

    name = "wechat"

    async def subject(self, code: str) -> str:
        await asyncio.sleep(0)
        return code


@pytest.fixture
def accounts(engine: AsyncEngine, clock: FakeClock, tmp_path: Path) -> Accounts:
    return open_accounts(
        engine=engine,
        clock=clock,
        data_dir=tmp_path,
        throttle=InProcessRates(clock=clock),
        log=get_log("test"),
        passwords=CHEAP,
        providers=[Trusting()],
    )


async def test_first_sign_in_makes_an_account_and_the_next_finds_it(accounts: Accounts, engine: AsyncEngine) -> None:
    first = await accounts.outside.sign_in("wechat", "oA", address="1")
    again = await accounts.outside.sign_in("wechat", "oA", address="2")
    other = await accounts.outside.sign_in("wechat", "oB", address="1")
    assert first.user == again.user != other.user
    assert first.user.role == "viewer"
    assert (await accounts.identities.person(first.access_token)).user == first.user
    assert (await accounts.sessions.refresh(first.refresh_token)).user == first.user
    async with engine.connect() as connection:
        kept = (await connection.execute(select(identities.c.subject_index))).scalars().all()
    assert all(len(index) == 64 and "oA" not in index for index in kept)


async def test_many_at_once_are_one_account(accounts: Accounts, engine: AsyncEngine) -> None:
    found = await asyncio.gather(*(accounts.outside.sign_in("wechat", "oA", address="1") for _ in range(12)))
    assert len({tokens.user.id for tokens in found}) == 1
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(users)) == 1


async def test_account_without_a_password_has_none_that_fits(accounts: Accounts) -> None:
    user = (await accounts.outside.sign_in("wechat", "oA", address="1")).user
    for password in ("", NO_PASSWORD, "a password that nobody has"):
        with pytest.raises(UnauthenticatedError):
            await accounts.sessions.sign_in(user.name, password, address="1")


async def test_disabled_account_stays_out(accounts: Accounts) -> None:
    user = (await accounts.outside.sign_in("wechat", "oA", address="1")).user
    await accounts.users.set_disabled(user.name, True)
    with pytest.raises(ForbiddenError):
        await accounts.outside.sign_in("wechat", "oA", address="1")


async def test_provider_that_is_not_set_up_is_not_found(accounts: Accounts) -> None:
    with pytest.raises(NotFoundError, match="does not sign in that way"):
        await accounts.outside.sign_in("alipay", "x", address="1")


async def test_one_address_may_not_try_for_ever(accounts: Accounts) -> None:
    for _ in range(120):
        await accounts.throttle.charge([Allowance(name="sign-in:1", interval_ms=250, burst=120)])
    with pytest.raises(LimitedError):
        await accounts.outside.sign_in("wechat", "oA", address="1")
