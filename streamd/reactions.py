"""Where subsystems meet: "when this happens there, do that here".

Facts come in synchronously from whoever has them and must not wait; what they lead to is done by `run`. What has not
been done yet is kept by room, newest only: a room whose programme came and went is told how it stands now. So the
bound is the number of rooms, and nothing is lost that still matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal, Protocol

from streamd.errors import StreamdError
from streamd.live.hub import StreamFact, Turn
from streamd.telemetry.log import Log


class RoomNotices(Protocol):
    """What tells a room something."""

    async def publish(self, room: str, event: str, payload: Mapping[str, object]) -> int:
        """See `danmaku.gateway.RoomGateway.publish`."""
        ...


class Shows(Protocol):
    """What keeps a book of programmes."""

    def hear(self, turn: Literal["on_air", "over"], room: str, at_ms: int) -> None:
        """See `streamd.board.shows.ShowBook`."""
        ...


class Reactions:
    """A programme that starts, pauses, resumes or ends: its room is told whether it is on air, and the book of shows
    when it is on air or over; a pause is neither.
    """

    def __init__(self, *, notices: RoomNotices, shows: Shows, log: Log) -> None:
        self._notices = notices
        self._shows = shows
        self._log = log
        self._untold: dict[str, bool] = {}
        self._news = asyncio.Event()

    def on_stream(self, fact: StreamFact) -> None:
        """Never blocks."""
        self._untold.pop(fact.room, None)
        is_on_air = fact.turn in (Turn.STARTED, Turn.RESUMED)
        self._untold[fact.room] = is_on_air
        if is_on_air or fact.turn is Turn.ENDED:
            self._shows.hear("on_air" if is_on_air else "over", fact.room, fact.at_ms)
        self._news.set()

    async def run(self) -> None:
        """Tell, for ever. Cancel-safe: yes; what is untold then stays untold."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._untold:
                room = next(iter(self._untold))
                on_air = self._untold.pop(room)
                try:
                    await self._notices.publish(room, "live", {"on_air": on_air})
                except StreamdError as error:
                    self._log.warning("reactions.notice_failed", room=room, code=error.code)
