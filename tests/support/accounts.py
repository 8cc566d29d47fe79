"""Accounts over a test's database, with passwords that cost next to nothing."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.opening import Accounts, open_accounts
from streamd.accounts.passwords import PasswordSettings
from streamd.accounts.users import User
from streamd.clock import Clock
from streamd.cluster.rates import InProcessRates
from streamd.telemetry.log import get_log

PASSWORD = "correct horse"
CHEAP = PasswordSettings(time_cost=1, memory_kib=8)


def accounts_over(engine: AsyncEngine, *, clock: Clock, data_dir: Path) -> Accounts:
    return open_accounts(
        engine=engine,
        clock=clock,
        data_dir=data_dir,
        throttle=InProcessRates(clock=clock),
        log=get_log("test"),
        passwords=CHEAP,
    )


async def person(accounts: Accounts, name: str, *, role: str = "viewer", room: str = "", as_: str = "") -> User:
    """An account, and with `room` a member of it."""
    user = await accounts.users.create(name, password=PASSWORD, role=role)
    if room:
        await accounts.members.put(room, name, as_)
    return user
