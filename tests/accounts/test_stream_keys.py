"""Stream keys, on SQLite and on MariaDB."""

from __future__ import annotations

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.rooms import Rooms
from streamd.accounts.stream_keys import REFUSED_KEEP_MS, StreamKeys, hash_key, new_key
from streamd.errors import NotFoundError, UnauthenticatedError
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def rooms(engine: AsyncEngine, clock: FakeClock) -> Rooms:
    rooms = Rooms(engine=engine, clock=clock)
    await rooms.create("demo", stream_key="demo-key")
    await rooms.create("other", stream_key="other-key")
    return rooms


@pytest.fixture
def keys(engine: AsyncEngine, clock: FakeClock, rooms: Rooms) -> StreamKeys:
    return StreamKeys(engine=engine, clock=clock)


def count_queries(engine: AsyncEngine) -> list[str]:
    seen: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    return seen


def test_new_key_is_160_random_bits_that_survive_a_url() -> None:
    keys = {new_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    assert all(len(key) == 32 and key.isalnum() and key == key.lower() for key in keys)


async def test_key_alone_leads_to_its_room(keys: StreamKeys) -> None:
    assert (await keys.check("demo-key")).room == "demo"
    assert (await keys.check("other-key")).room == "other"


async def test_key_with_its_room_is_good_and_with_another_is_not(keys: StreamKeys) -> None:
    assert (await keys.check("demo-key", room="demo")).room == "demo"
    with pytest.raises(UnauthenticatedError):
        await keys.check("demo-key", room="other")
    with pytest.raises(UnauthenticatedError):
        await keys.check("demo-key", room="nowhere")


async def test_refusal_does_not_tell_whether_room_or_key_was_wrong(keys: StreamKeys) -> None:
    said = set()
    for key, room in [("wrong-key", None), ("wrong-key", "demo"), ("demo-key", "nowhere"), ("!", None)]:
        with pytest.raises(UnauthenticatedError) as caught:
            await keys.check(key, room=room)
        said.add(caught.value.one_line())
    assert len(said) == 1
    assert "streamd room rotate-key" in said.pop()


async def test_principal_is_the_same_for_the_same_key_and_does_not_give_it_away(keys: StreamKeys) -> None:
    first, again, other = [await keys.check(key) for key in ("demo-key", "demo-key", "other-key")]
    assert first == again
    assert first.principal != other.principal
    assert "demo-key" not in first.principal


async def test_rotated_key_works_at_once_and_the_old_one_no_more(
    keys: StreamKeys, rooms: Rooms, clock: FakeClock
) -> None:
    assert await keys.check("demo-key")
    clock.advance(5)
    key = await keys.rotate("demo")
    assert (await keys.check(key)).room == "demo"
    with pytest.raises(UnauthenticatedError):
        await keys.check("demo-key")
    room = await rooms.get("demo")
    assert room.stream_key_rotated_at_ms == room.created_at_ms + 5


async def test_key_of_a_room_that_is_not_there_cannot_be_rotated(keys: StreamKeys) -> None:
    with pytest.raises(NotFoundError):
        await keys.rotate("nowhere")
    with pytest.raises(NotFoundError):
        await keys.rotate("../x")


async def test_key_is_not_in_the_database(engine: AsyncEngine, rooms: Rooms) -> None:
    _, key = await rooms.create("third")
    async with engine.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM rooms"))).all()
    assert key not in repr(rows)
    assert hash_key(key) in repr(rows)


async def test_repeated_wrong_key_is_refused_from_memory_and_asked_again_later(
    engine: AsyncEngine, keys: StreamKeys, clock: FakeClock
) -> None:
    seen = count_queries(engine)
    for _ in range(100):
        with pytest.raises(UnauthenticatedError):
            await keys.check("old-key")
    assert len(seen) == 1
    clock.advance(REFUSED_KEEP_MS)
    with pytest.raises(UnauthenticatedError):
        await keys.check("old-key")
    assert len(seen) == 2


@pytest.mark.parametrize("key", ["", "abc", "x" * 129, "a b c d", "клю́ч-ключ", "key'--", "a/../b", "key\n"])
async def test_what_cannot_be_a_key_is_refused_without_a_query(engine: AsyncEngine, keys: StreamKeys, key: str) -> None:
    seen = count_queries(engine)
    with pytest.raises(UnauthenticatedError):
        await keys.check(key)
    with pytest.raises(UnauthenticatedError):
        await keys.check("demo-key", room="no room\n")
    assert seen == []
