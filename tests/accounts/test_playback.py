"""Who may watch a signed room."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.node_secret import NodeSecret
from streamd.accounts.opening import Accounts
from streamd.accounts.playback import POLICY_KEEP_MS, Playback
from streamd.errors import ForbiddenError, InvalidError, NotFoundError
from tests.support.accounts import accounts_over
from tests.support.clock import FakeClock

MINUTE_MS = 60_000


@pytest.fixture
async def playback(accounts: Accounts) -> Playback:
    for room in ("demo", "other", "open"):
        await accounts.rooms.create(room)
    for room in ("demo", "other"):
        await accounts.playback.set_access(room, "signed")
    return accounts.playback


async def refused(playback: Playback, room: str, token: str, address: str = "192.0.2.1") -> bool:
    try:
        await playback.check(room, token, address)
    except ForbiddenError:
        return True
    return False


async def test_public_room_asks_for_nothing_and_unknown_rooms_are_told(playback: Playback) -> None:
    await playback.check("open", "", "192.0.2.1")
    assert playback.is_public("open")
    for room in ("nowhere", "../x"):
        with pytest.raises(NotFoundError):
            await playback.check(room, "", "192.0.2.1")


async def test_token_is_good_until_it_expires(playback: Playback, clock: FakeClock) -> None:
    token, expires_at_ms = await playback.issue("demo", keep_ms=MINUTE_MS)
    assert expires_at_ms == clock.utc_ms() + MINUTE_MS
    assert not await refused(playback, "demo", token)
    assert not playback.is_public("demo")
    clock.advance(MINUTE_MS)
    assert await refused(playback, "demo", token)


async def test_token_of_another_room_or_none_is_refused(playback: Playback) -> None:
    token, _ = await playback.issue("other", keep_ms=MINUTE_MS)
    assert await refused(playback, "demo", token)
    assert await refused(playback, "demo", "")
    assert not await refused(playback, "other", token)


async def test_token_bound_to_an_address_is_good_from_there_only(playback: Playback) -> None:
    token, _ = await playback.issue("demo", keep_ms=MINUTE_MS, address="192.0.2.1")
    assert not await refused(playback, "demo", token, "192.0.2.1")
    assert await refused(playback, "demo", token, "192.0.2.2")
    assert await refused(playback, "demo", token.replace("-b-", "-a-"), "192.0.2.1")


async def test_revoking_voids_every_token_of_the_room_and_of_no_other(
    playback: Playback, engine: AsyncEngine, clock: FakeClock, tmp_path: Path
) -> None:
    elsewhere = accounts_over(engine, clock=clock, data_dir=tmp_path).playback
    tokens = [(await playback.issue("demo", keep_ms=MINUTE_MS))[0] for _ in range(2)]
    others, _ = await playback.issue("other", keep_ms=MINUTE_MS)
    assert not await refused(elsewhere, "demo", tokens[0])
    await playback.revoke("demo")
    assert [await refused(playback, "demo", token) for token in tokens] == [True, True]
    clock.advance(POLICY_KEEP_MS)
    assert await refused(elsewhere, "demo", tokens[0])
    assert not await refused(playback, "other", others)
    fresh, _ = await playback.issue("demo", keep_ms=MINUTE_MS)
    assert not await refused(playback, "demo", fresh)


async def test_token_survives_in_an_address_as_it_is(playback: Playback) -> None:
    for _ in range(20):
        token, _ = await playback.issue("demo", keep_ms=MINUTE_MS, address="2001:db8::1")
        assert all(character.isalnum() or character in "-_" for character in token)


async def test_time_and_access_are_bounded(playback: Playback) -> None:
    for keep_ms in (0, 8 * 24 * 3_600_000):
        with pytest.raises(InvalidError):
            await playback.issue("demo", keep_ms=keep_ms)
    with pytest.raises(InvalidError):
        await playback.set_access("demo", "secret")
    with pytest.raises(NotFoundError):
        await playback.revoke("nowhere")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(0, 60), character=st.characters(codec="ascii"))
async def test_changed_character_makes_a_token_worthless(playback: Playback, position: int, character: str) -> None:
    token, _ = await playback.issue("demo", keep_ms=MINUTE_MS)
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    assert await refused(playback, "demo", changed) == (changed != token)


def test_signatures_for_different_purposes_differ() -> None:
    secret = NodeSecret(bytes(32))
    assert secret.sign("playback", "demo") != secret.sign("programme", "demo")
    assert secret.sign("a", "b", "c") != secret.sign("a", "b\1c")
