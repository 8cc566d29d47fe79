"""The desk of a show, joined to the rooms: implements `streamd.api.room_desk.Desk` over the gateway.

A room that nobody is in is opened by being asked, and closes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from danmaku.conduct import ChatSettings
from danmaku.gateway import RoomGateway
from danmaku.moderation import WordList, judge_by
from danmaku.ports import SiteWords
from streamd.accounts.rooms import Rooms
from streamd.cluster.bus import B
from streamd.errors import NotFoundError

_CLASSES = ("A", "B", "C", "D")


class RoomDesk:
    """See the module's promise."""

    def __init__(self, *, rooms: Rooms, gateway: RoomGateway, site_words: SiteWords) -> None:
        self._rooms = rooms
        self._gateway = gateway
        self._site_words = site_words

    async def pin(self, room: str, *, message_id: str, text: str, by: str) -> None:
        """`text` without a `message_id` is `by`'s own; a message is pinned as it was said."""
        message: object = {"text": text, "user": {"name": by}}
        if message_id:
            table = await self._gateway.tables.open(room)
            entry = table.line.room.knows_message(message_id)
            if entry is None:
                raise NotFoundError(
                    "this message is not known any more",
                    why="it was taken back, or said more than ten minutes ago",
                    fix="pin its words as your own",
                    code="message_unknown",
                )
            message = orjson.loads(entry.draft.body(entry.seq))
        await self._gateway.publish(room, "pinned", {"message": message, "by": by})

    async def unpin(self, room: str) -> None:
        await self._gateway.publish(room, "pinned", {"message": None})

    async def announce(self, room: str, text: str, *, by: str) -> None:
        await self._gateway.publish(room, "notice", {"text": text, "by": by}, cls=B)

    async def audience(self, room: str) -> Mapping[str, Any]:
        await self._gateway.tables.open(room)
        stats = self._gateway.room_stats(room)
        assert stats is not None, "it was opened a moment ago, and closes only when the loop comes round"
        told = (
            "online",
            "peak",
            "unique",
            "likes",
            "seq",
            "is_alone",
            "members_here",
            "lagging_here",
            "delivered_here",
        )
        shed = dict(zip(_CLASSES, stats.shed_here, strict=True))
        return {"room": room, "shed_here": shed, **{name: getattr(stats, name) for name in told}}

    async def try_words(self, room: str, text: str) -> Mapping[str, Any]:
        settings = ChatSettings.from_mapping(await self._rooms.chat(room))
        return judge_by((self._site_words(), WordList(settings.words)), text)._asdict()
