"""Accounts on both dialects, and a clock that stands still."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.opening import Accounts
from tests.support.accounts import accounts_over
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def accounts(engine: AsyncEngine, clock: FakeClock, tmp_path: Path) -> Accounts:
    return accounts_over(engine, clock=clock, data_dir=tmp_path)
