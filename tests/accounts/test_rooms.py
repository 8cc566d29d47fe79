"""Rooms, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.rooms import KNOWN_KEEP_MS, Rooms
from streamd.errors import ConflictError, InvalidError, NotFoundError
from tests.support.clock import FakeClock


@pytest.fixture
def rooms(engine: AsyncEngine) -> Rooms:
    return Rooms(engine=engine, clock=FakeClock())


async def test_created_room_is_found_with_everything_but_its_key(rooms: Rooms) -> None:
    room, key = await rooms.create("summer-sale", title="双十一 👨‍👩‍👧 sale")
    assert len(key) == 32
    assert await rooms.get("summer-sale") == room
    assert (room.title, room.owner, room.created_at_ms) == ("双十一 👨‍👩‍👧 sale", "", 1_800_000_000_000)
    assert key not in repr(room)


async def test_room_without_a_title_is_titled_by_its_name(rooms: Rooms) -> None:
    room, _ = await rooms.create("demo", title="   ")
    assert room.title == "demo"


@pytest.mark.parametrize("name", ["", "-a", "A", "a" * 64, "a b", "a_b", "ä", "a/b", "a.flv", "demo\n", "DEMO", "１"])
async def test_name_that_is_no_name_is_refused_and_never_found(rooms: Rooms, name: str) -> None:
    with pytest.raises(InvalidError, match="cannot be called"):
        await rooms.create(name)
    assert await rooms.exists(name) is False
    with pytest.raises(NotFoundError):
        await rooms.get(name)


@pytest.mark.parametrize("name", ["0", "a-", "a" * 63, "1-2-3"])
async def test_short_and_long_names_are_taken(rooms: Rooms, name: str) -> None:
    await rooms.create(name)
    assert await rooms.exists(name) is True


async def test_name_is_given_once(rooms: Rooms) -> None:
    await rooms.create("demo")
    with pytest.raises(ConflictError) as caught:
        await rooms.create("demo")
    assert (caught.value.code, "rotate-key demo" in caught.value.fix) == ("room_exists", True)


async def test_chosen_key_is_given_once(rooms: Rooms) -> None:
    await rooms.create("one", stream_key="demo-key")
    with pytest.raises(ConflictError) as caught:
        await rooms.create("two", stream_key="demo-key")
    assert caught.value.code == "stream_key_taken"
    assert await rooms.exists("two") is False


async def test_of_two_who_create_at_once_one_gets_the_name(rooms: Rooms) -> None:
    results = await asyncio.gather(*(rooms.create("demo") for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ConflictError"] * 4 + ["tuple"]


@pytest.mark.parametrize("title", ["x" * 201, "two\nlines", "bell\a", "\ud800"])
async def test_title_that_cannot_be_shown_is_refused(rooms: Rooms, title: str) -> None:
    with pytest.raises(InvalidError, match="title"):
        await rooms.create("demo", title=title)


async def test_title_that_is_taken_back_is_the_name_again(rooms: Rooms) -> None:
    await rooms.create("demo", title="Sale")
    assert (await rooms.change("demo", title=" ")).title == "demo"
    with pytest.raises(NotFoundError):
        await rooms.change("\x87", title="")


async def test_unknown_room_is_explained(rooms: Rooms) -> None:
    with pytest.raises(NotFoundError) as caught:
        await rooms.get("nowhere")
    assert caught.value.one_line() == (
        "there is no room 'nowhere': nobody has created it on this server. "
        "Fix: check the address, or create it: streamd room create nowhere"
    )


async def test_room_made_by_another_process_is_seen_soon(engine: AsyncEngine) -> None:
    clock = FakeClock()
    server, command = Rooms(engine=engine, clock=clock), Rooms(engine=engine, clock=clock)
    assert await server.exists("demo") is False
    await command.create("demo")
    assert await server.exists("demo") is False
    clock.advance(KNOWN_KEEP_MS)
    assert await server.exists("demo") is True


async def test_pages_follow_each_other_without_gap_or_repeat(rooms: Rooms) -> None:
    names = sorted(f"room-{number}" for number in range(25))
    for name in reversed(names):
        await rooms.create(name)
    seen: list[str] = []
    while page := await rooms.page(after=seen[-1] if seen else "", limit=10):
        seen += [room.slug for room in page]
    assert seen == names


async def test_page_of_named_rooms_holds_only_those(rooms: Rooms) -> None:
    for name in ("a", "b", "c", "d"):
        await rooms.create(name)
    among = {"d", "b", "c"}
    assert [room.slug for room in await rooms.page(limit=2, among=among)] == ["b", "c"]
    assert [room.slug for room in await rooms.page(after="c", limit=2, among=among)] == ["d"]
    assert await rooms.page(limit=2, among=set()) == []


async def test_what_was_learnt_of_an_encoder_is_remembered(rooms: Rooms) -> None:
    await rooms.create("demo")
    await rooms.remember("demo", {"gop_ms": 8333})
    await rooms.remember("nowhere", {"gop_ms": 1})
    assert (await rooms.get("demo")).hints == {"gop_ms": 8333}
