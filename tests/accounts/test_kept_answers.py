"""Requests that are sent again, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.kept_answers import CLAIM_MS, KEEP_MS, KeptAnswer
from streamd.accounts.opening import Accounts
from streamd.errors import ConflictError, UnavailableError
from tests.accounts.test_users import rows
from tests.support.clock import FakeClock

DONE = KeptAnswer(status=201, body=b'{"stream_key":"sesame"}')


async def claim(accounts: Accounts, *, caller: str = "u1", key: str = "k1", request: bytes = b"POST /x {}"):  # type: ignore[no-untyped-def]
    return await accounts.answers.claim(caller=caller, key=key, request=request)


async def test_request_that_comes_again_is_answered_again(accounts: Accounts, engine: AsyncEngine) -> None:
    handle, found = await claim(accounts)
    assert found is None
    await accounts.answers.keep(handle, DONE)
    assert (await claim(accounts))[1] == DONE
    assert "sesame" not in await rows(engine, "stored_answers")


async def test_key_is_the_callers_own(accounts: Accounts) -> None:
    handle, _ = await claim(accounts)
    await accounts.answers.keep(handle, DONE)
    assert (await claim(accounts, caller="u2"))[1] is None


async def test_key_that_says_something_else_is_refused(accounts: Accounts) -> None:
    handle, _ = await claim(accounts)
    await accounts.answers.keep(handle, DONE)
    with pytest.raises(ConflictError) as caught:
        await claim(accounts, request=b"POST /y {}")
    assert caught.value.code == "idempotency_key_reused"


async def test_of_many_at_once_one_is_done(accounts: Accounts) -> None:
    results = await asyncio.gather(*(claim(accounts) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, UnavailableError) for result in results) == 5


async def test_request_that_failed_may_be_tried_again(accounts: Accounts) -> None:
    handle, _ = await claim(accounts)
    await accounts.answers.drop(handle)
    assert (await claim(accounts))[1] is None


async def test_claim_of_a_process_that_died_is_taken_over_once(accounts: Accounts, clock: FakeClock) -> None:
    await claim(accounts)
    clock.advance(CLAIM_MS)
    results = await asyncio.gather(*(claim(accounts) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(result, tuple) for result in results) == 1


async def test_answer_is_forgotten_after_a_day(accounts: Accounts, clock: FakeClock, engine: AsyncEngine) -> None:
    handle, _ = await claim(accounts)
    await accounts.answers.keep(handle, DONE)
    clock.advance(KEEP_MS)
    assert (await claim(accounts))[1] is None
    with pytest.raises(UnavailableError):
        await claim(accounts)
    clock.advance(KEEP_MS)
    assert (await claim(accounts, key="k2"))[1] is None
    assert not await accounts.answers.forget(clock.utc_ms() + 1)
    assert handle not in await rows(engine, "stored_answers")
    assert (await claim(accounts))[1] is None
