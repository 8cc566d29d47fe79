"""How an encoder says its key, and what it is let in as."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamd.accounts.node_secret import NodeSecret
from streamd.accounts.playback import Playback
from streamd.accounts.rooms import Rooms
from streamd.accounts.stream_keys import StreamKeys
from streamd.admission import PlayAdmission, PublishAdmission
from streamd.db.engine import open_engine
from streamd.db.migrate import upgrade
from streamd.errors import NotFoundError, UnauthenticatedError
from streamd.live.gate import PROGRAMME
from streamd.media.ports import PlayRequest, PublishRequest
from tests.support.clock import FakeClock

SECRET = NodeSecret(bytes(32))


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    url = f"sqlite+aiosqlite:///{tmp_path}/streamd.db"
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    rooms = Rooms(engine=engine, clock=FakeClock())
    await rooms.create("demo", stream_key="demo-key")
    yield rooms
    await engine.dispose()


@pytest.fixture
def publish(rooms: Rooms) -> PublishAdmission:
    keys = StreamKeys(engine=rooms._engine, clock=FakeClock())
    return PublishAdmission(keys=keys, rooms=rooms, secret=SECRET)


def request(name: str, **query: str) -> PublishRequest:
    return PublishRequest(protocol="rtmp", app="live", name=name, query=query)


async def test_key_is_the_stream_name_or_stands_behind_the_room(publish: PublishAdmission) -> None:
    by_name = await publish.check(request("demo-key"))
    by_query = await publish.check(request("demo", key="demo-key"))
    assert by_name == by_query
    assert by_name.room == "demo"
    assert by_name.principal.startswith("key:")


@pytest.mark.parametrize(
    ("name", "query"),
    [("demo", {}), ("wrong", {}), ("demo", {"key": "wrong"}), ("other", {"key": "demo-key"}), ("demo", {"key": ""})],
)
async def test_anything_else_is_refused(publish: PublishAdmission, name: str, query: dict[str, str]) -> None:
    with pytest.raises(UnauthenticatedError):
        await publish.check(request(name, **query))


async def test_programme_of_this_machine_is_let_in_as_what_it_is(publish: PublishAdmission) -> None:
    grant = await publish.check(request("demo", key=SECRET.programme_pass("demo")))
    assert (grant.room, grant.principal) == ("demo", PROGRAMME)


async def test_pass_of_the_programme_opens_no_other_room(publish: PublishAdmission) -> None:
    with pytest.raises(UnauthenticatedError):
        await publish.check(request("demo", key=SECRET.programme_pass("other")))
    with pytest.raises(UnauthenticatedError):
        await publish.check(request("nowhere", key=SECRET.programme_pass("nowhere")))
    with pytest.raises(UnauthenticatedError):
        await publish.check(request("demo", key="ключ"))


async def test_room_may_be_watched_if_it_exists(rooms: Rooms) -> None:
    play = PlayAdmission(playback=Playback(engine=rooms._engine, clock=FakeClock(), secret=SECRET))
    await play.check(PlayRequest(room="demo"))
    with pytest.raises(NotFoundError) as caught:
        await play.check(PlayRequest(room="nowhere"))
    assert caught.value.retry_after_ms is None
