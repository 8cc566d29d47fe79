"""Who people are in rooms, and how rooms talk, as `danmaku` asks the accounts."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from danmaku.conduct import ChatSettings, Identity, Sanction
from danmaku.history import SanctionShelf
from danmaku.moderation import Word
from streamd.accounts.opening import Accounts
from streamd.chatting import ChatDesk, RoomBook, RoomIdentify
from streamd.errors import InvalidError, NotFoundError
from tests.support.accounts import PASSWORD, accounts_over, person
from tests.support.clock import FakeClock


@pytest.fixture
async def accounts(engine: AsyncEngine, tmp_path: Path) -> Accounts:
    accounts = accounts_over(engine, clock=FakeClock(), data_dir=tmp_path)
    await person(accounts, "host", role="host")
    await accounts.rooms.create("demo", owner="host")
    await accounts.rooms.create("other")
    await person(accounts, "ming", room="demo", as_="assistant")
    await person(accounts, "alice")
    await person(accounts, "root", role="admin")
    return accounts


@pytest.mark.parametrize(
    ("name", "here", "there"),
    [
        ("host", "host", "viewer"),
        ("ming", "assistant", "viewer"),
        ("alice", "viewer", "viewer"),
        ("root", "admin", "admin"),
    ],
)
async def test_person_has_a_role_in_each_room(accounts: Accounts, name: str, here: str, there: str) -> None:
    token = (await accounts.sessions.sign_in(name, PASSWORD, address="::1")).access_token
    user = await accounts.users.named(name)
    identify = RoomIdentify(identities=accounts.identities)
    assert await identify(token, "demo") == Identity(id=user.public_id, name=name, role=here)
    found = await identify(token, "other")
    assert found is not None
    assert found.role == there


async def test_token_that_is_no_good_is_nobodys(accounts: Accounts) -> None:
    identify = RoomIdentify(identities=accounts.identities)
    tokens = await accounts.sessions.sign_in("alice", PASSWORD, address="::1")
    for token in ("", "x.y.z", tokens.access_token[:-3] + "AAA", tokens.refresh_token):
        assert await identify(token, "demo") is None
    await accounts.users.set_disabled("alice", True)
    assert await identify(tokens.access_token, "demo") is None


async def test_how_a_room_talks_outlives_the_process(accounts: Accounts, engine: AsyncEngine, tmp_path: Path) -> None:
    chat = ChatSettings(slow_mode_ms=3_000, guests_may_speak=True, words=(Word("借钱", "mask"),))
    await RoomBook(rooms=accounts.rooms, shelf=SanctionShelf(engine=engine, clock=FakeClock())).save_chat("demo", chat)
    rooms = accounts_over(engine, clock=FakeClock(), data_dir=tmp_path).rooms
    later = RoomBook(rooms=rooms, shelf=SanctionShelf(engine=engine, clock=FakeClock()))
    assert await later.load("demo") == (chat, [])
    assert await later.load("other") == (ChatSettings(), [])
    assert await later.load("nowhere") == (ChatSettings(), [])


async def test_sanctions_are_kept_beside(accounts: Accounts, engine: AsyncEngine) -> None:
    book = RoomBook(rooms=accounts.rooms, shelf=SanctionShelf(engine=engine, clock=FakeClock()))
    mute = Sanction(user_id="u1", kind="mute")
    await book.save_sanction("demo", mute)
    assert (await book.load("demo"))[1] == [mute]


async def test_change_names_what_changes_and_leaves_the_rest(accounts: Accounts) -> None:
    told: list[ChatSettings] = []

    class Teller:
        async def set_chat(self, room: str, chat: ChatSettings) -> None:
            await accounts.rooms.save_chat(room, chat.to_mapping())
            told.append(chat)

    desk = ChatDesk(rooms=accounts.rooms, teller=Teller())
    await desk.change_chat("demo", {"slow_mode_ms": 3_000})
    await desk.change_chat("demo", {"muted_all": True})
    assert (told[-1].slow_mode_ms, told[-1].muted_all) == (3_000, True)
    assert (await desk.chat("demo"))["slow_mode_ms"] == 3_000
    with pytest.raises(InvalidError):
        await desk.change_chat("demo", {"slow_mode_ms": -1})
    with pytest.raises(NotFoundError):
        await desk.change_chat("nowhere", {"muted_all": True})
    assert len(told) == 2
