"""The demo's audience: two of its people who say something now and then while anybody watches.

A room without a word shows a newcomer nothing of what danmaku are. Only in the demo, only beside the synthetic
programme, only in its one room.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Final, Protocol

from danmaku.conduct import Identity
from streamd.accounts.users import Users
from streamd.demo import ROOM
from streamd.errors import StreamdError
from streamd.telemetry.log import Log

_LINES: Final = (
    ("alice", "来啦来啦 👋"),
    ("bob", "Just in time. What is on today?"),
    ("alice", "龙井是今年的新茶吗？"),
    ("bob", "That clock is really live, isn't it"),
    ("alice", "画面好清楚，一点都不卡"),
    ("bob", "How big is the mug?"),
    ("alice", "350 毫升，我有一个，很好用"),
    ("bob", "Sold. The mist blue one 💙"),
    ("alice", "丝巾还有吗？"),
    ("bob", "Greetings from the other side of the planet"),
    ("alice", "主播可以再讲一下耳机吗"),
    ("bob", "👍👍👍"),
)


def _pause_s() -> float:
    return random.uniform(3.0, 7.0)  # noqa: S311 - when somebody speaks is no secret


class Presence(Protocol):
    """How full a room is."""

    @property
    def members_here(self) -> int:
        """Connections to this worker."""
        ...


class Rooms(Protocol):
    """What they speak into: `danmaku.gateway.RoomGateway`."""

    def room_stats(self, room: str) -> Presence | None:
        """None while nobody is there."""
        ...

    async def say(self, room: str, person: Identity, text: str) -> None:
        """A danmaku that comes over no connection. Raises UnavailableError."""
        ...


async def talk(rooms: Rooms, users: Users, *, log: Log, pause_s: Callable[[], float] = _pause_s) -> None:
    """For ever. Cancel-safe: yes."""
    lines = itertools.cycle(_LINES)
    while True:
        await asyncio.sleep(pause_s())
        present = rooms.room_stats(ROOM)
        if present is None or not present.members_here:
            continue
        name, text = next(lines)
        try:
            user = await users.named(name)
            person = Identity(id=user.public_id, name=user.display_name, level=user.level)
            await rooms.say(ROOM, person, text)
        except StreamdError as error:
            log.warning("demo.audience_silent", code=error.code)
