"""Rooms as the rest of the product sees them: attach to an HTTP application, run, publish, moderate, close.

The gateway owns every task of the package, in one TaskGroup inside `run`. Identity, catalogue, archive and settings
come in as the protocols of `ports`; nothing goes out but events to members and what the caller asks for.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from aiohttp import web

from danmaku.conduct import ChatSettings, Identity, RateBook, Sanction
from danmaku.entrance import Entrance
from danmaku.measures import families
from danmaku.ports import (
    Archive,
    Attendance,
    ConductBook,
    Identify,
    MemoryBook,
    NobodyCounts,
    NoSiteWords,
    NothingKept,
    Reviewer,
    RoomDirectory,
    Seat,
    SiteWords,
)
from danmaku.room import DANMAKU
from danmaku.session import ClientLink, PingWheel
from danmaku.settings import RoomSettings
from danmaku.socket import Forward, RoomServer, TransportSettings
from danmaku.speech import Speech
from danmaku.table import Table
from danmaku.tables import Tables
from streamd.clock import Clock
from streamd.cluster.bus import DROP, INTERNAL, STATE, A, C, Draft, RoomBus, pack_draft
from streamd.errors import InvalidError, StreamdError, UnavailableError
from streamd.telemetry.log import get_log

_log: Final = get_log("rooms")
# Events that are a state: who comes later is told the latest one.
_STATES: Final = frozenset({"card", "live", "pinned"})
_SWEEP_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomStats:
    """A room as this node sees it, for the host's screen. `shed` and the like are by class: A, B, C, D."""

    online: int
    peak: int
    unique: int
    likes: int
    seq: int
    epoch: str
    is_alone: bool  # the bus is away; this node goes on by itself
    members_here: int
    lagging_here: int
    delivered_here: int
    shed_here: tuple[int, int, int, int]
    aborted_here: Mapping[str, int]


class RoomGateway:
    """The rooms of one node."""

    def __init__(
        self,
        *,
        bus: RoomBus,
        directory: RoomDirectory,
        identify: Identify,
        clock: Clock,
        settings: RoomSettings | None = None,
        book: ConductBook | None = None,
        archive: Archive | None = None,
        attendance: Attendance | None = None,
        reviewer: Reviewer | None = None,
        site_words: SiteWords | None = None,
    ) -> None:
        settings = settings or RoomSettings()
        self._clock = clock
        self._book: ConductBook = book or MemoryBook()
        self._archive: Archive = archive or NothingKept()
        self._group: asyncio.TaskGroup | None = None
        rates = RateBook()
        self.wheel = _wheel(settings.transport, clock)
        attendance = attendance or NobodyCounts()
        self.tables = Tables(
            bus=bus,
            clock=clock,
            directory=directory,
            book=self._book,
            attendance=attendance,
            settings=settings,
            spawn=self._spawn,
        )
        self.speech = Speech(
            bus=bus,
            clock=clock,
            archive=self._archive,
            reviewer=reviewer,
            rates=rates,
            site_words=site_words or NoSiteWords(),
            spawn=self._spawn,
        )
        self.entrance = Entrance(
            tables=self.tables,
            speech=self.speech,
            identify=identify,
            attendance=attendance,
            wheel=self.wheel,
            rates=rates,
            clock=clock,
            settings=settings,
            spawn=self._spawn,
        )
        self.server = RoomServer(
            door=self.entrance, settings=settings.transport, now_ms=clock.now_ms, spawn=self._spawn
        )
        bus.on_return(self.tables.rejoin)

    # -- life ----------------------------------------------------------------------------------------------------

    def attach(self, app: web.Application) -> None:
        """Serve `/socket.io/` from this application. `run` must be running when requests come."""
        self.server.attach(app)

    def be_one_of_many(self, worker: str, forward: Forward) -> None:
        """Polling sessions are named after `worker`; requests for those of others are handed to `forward`."""
        self.server.worker, self.server.forward = worker, forward

    async def run(self) -> None:
        """Own every task until cancelled. Cancel-safe: yes; call `close` first to let people go in peace."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                group.create_task(self.wheel.run())
                while True:
                    await asyncio.sleep(_SWEEP_S)
                    await self._guard(self._sweep())
            finally:
                self._group = None
                await self.server.shutdown()

    async def _sweep(self) -> None:
        self.tables.sweep()
        await self.speech.settle()

    async def close(self, *, within_ms: int) -> None:
        """Take nobody in any more and send everybody to another node.

        Returns when all are gone, or aborts the rest after `within_ms`. Cancel-safe: yes.
        """
        self.entrance.is_closing = True
        links = self._links()
        pause_s = within_ms / 2_000 / (len(links) // 200 + 1)
        try:
            async with asyncio.timeout(within_ms / 1_000):
                for start in range(0, len(links), 200):
                    # In parts, so that ten thousand people do not ring elsewhere in the same millisecond.
                    for link in links[start : start + 200]:
                        link.go_away()
                    await asyncio.sleep(min(pause_s, 0.1))
                await self.server.wait_empty()
        except TimeoutError:
            for link in self._links():
                link.abort("shutdown")

    def _links(self) -> list[ClientLink]:
        return [*self.wheel.links(), *self.server.links.values()]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            work.close()
        else:
            self._group.create_task(self._guard(work))

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """The one place that catches: a failure ends one piece of work, never the node."""
        try:
            await work
        except StreamdError as error:
            _log.warning("rooms.work_failed", code=error.code, reason=error.one_line())
        except Exception:
            _log.exception("rooms.work_failed", code="internal")

    # -- for the rest of the product -----------------------------------------------------------------------------

    async def publish(
        self,
        room: str,
        event: str,
        payload: Mapping[str, object],
        *,
        cls: int = A,
        key: str = "",
        target: str = "",
    ) -> int:
        """Tell a room something; gives its number once it is told here.

        `card`, `live` and `pinned` are states: a `card` with no product (a `pinned` with no message) takes the state
        away. Events of one `key` in the same tick are told once, later fields over earlier ones. `target` is a user id.
        `seq` is added to the payload. Raises NotFoundError (no such room), InvalidError (too large), UnavailableError
        (not running). Cancel-safe: the event may still be told.
        """
        flags = 0
        if event in _STATES:
            key, flags = event, STATE
            if event != "live" and payload.get("product", payload.get("message")) is None:
                flags = DROP
        table = await self.tables.open(room)
        draft = Draft(cls, event, orjson.dumps(payload)[1:], key, flags, target)
        return await self._submit(table, draft, payload)

    async def _submit(self, table: Table, draft: Draft, payload: Mapping[str, object]) -> int:
        if self._group is None:
            raise UnavailableError("Rooms are not running", why="the node starts or stops", code="rooms_stopped")
        pack_draft(draft)  # too large is the caller's fault, and must not become the tick's
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def waiter(seq: int, shown: bool) -> None:  # noqa: ARG001 - the sequencer's shape; only danmaku are ever unshown
            if not told.done():
                told.set_result(seq)

        table.line.submit_event(draft, payload, waiter=waiter)
        return await told

    async def sanction(self, room: str, sanction: Sanction) -> None:
        """Mute or ban on all nodes, tell the person why, and close the connections of who is banned.

        A sanction whose `until_ms` has passed lifts the one in force. A ban of `address:1.2.3.4` is for all behind that
        address but those who run the show. A kick is a ban of a minute. Cancel-safe: no; do it again.
        """
        if sanction.kind not in ("mute", "ban"):
            raise InvalidError(f"A sanction is a mute or a ban, not {sanction.kind!r}", code="sanction_kind")
        await self._book.save_sanction(room, sanction)
        table = await self.tables.open(room)
        lifted = sanction.until_ms <= self._clock.utc_ms()
        told = {
            "kind": sanction.kind,
            "until_ms": 0 if lifted else sanction.until_ms,
            "reason": sanction.reason,
        }
        await self._submit(table, Draft(A, "sanction", orjson.dumps(told)[1:], target=sanction.user_id), told)
        inner = {**told, "user_id": sanction.user_id}
        flags = INTERNAL | (DROP if lifted else STATE)
        key = f"sanction:{sanction.kind}:{sanction.user_id}"
        await self._submit(table, Draft(A, "sanctioned", orjson.dumps(inner)[1:], key, flags), inner)
        _log.info("rooms.sanction", room=room, kind=sanction.kind, user=sanction.user_id, by=sanction.by)

    async def set_chat(self, room: str, chat: ChatSettings) -> None:
        """Change how a room talks, on all nodes; members learn the parts that concern them by a `chat` event."""
        await self._book.save_chat(room, chat)
        table = await self.tables.open(room)
        inner = chat.to_mapping()
        draft = Draft(A, "chat", orjson.dumps(inner)[1:], "chat", STATE | INTERNAL)
        await self._submit(table, draft, inner)
        told = {name: inner[name] for name in ("slow_mode_ms", "muted_all", "guests_may_speak", "max_length")}
        await self._submit(table, Draft(A, "chat", orjson.dumps(told)[1:]), told)

    def chat(self, room: str) -> ChatSettings | None:
        """The settings in force, when the room is active here."""
        table = self.tables.get(room)
        return table.conduct.chat if table else None

    async def retract(self, room: str, message_ids: Sequence[str]) -> int:
        """Take messages back from screens, history and replay."""
        self._archive.mark(room, list(message_ids), "retracted")
        payload = {"ids": list(message_ids)}
        return await self.publish(room, "retract", payload)

    async def held(self, room: str) -> list[dict[str, object]]:
        """Messages that wait for a moderator, oldest first."""
        return list((await self.tables.open(room)).held.values())

    async def review(self, room: str, message_id: str, *, show: bool) -> None:
        """Show a message that was held, or drop it. Raises NotFoundError when it does not wait (any more)."""
        table = await self.tables.open(room)
        payload = table.release(message_id)
        self._archive.mark(room, [message_id], "shown" if show else "retracted")
        if show:
            draft = Draft(C, DANMAKU, orjson.dumps(payload)[1:], message_id)
            table.line.submit_danmaku(draft, sender=message_id, waiter=_nobody_waits)

    async def say(self, room: str, person: Identity, text: str) -> None:
        """A danmaku that comes over no connection and passes no judge: the caller answers for its words.

        Not kept for replay. Raises NotFoundError (no such room).
        """
        table = await self.tables.open(room)
        message_id = secrets.token_hex(8)
        user = {"id": person.id, "name": person.name, "role": person.role, "level": person.level}
        manner = {"color": "#ffffff", "mode": "scroll", "at_ms": self._clock.utc_ms()}
        payload = {"id": message_id, "user": user, "text": text, **manner}
        draft = Draft(C, DANMAKU, orjson.dumps(payload)[1:], message_id)
        table.line.submit_danmaku(draft, sender=person.id, waiter=_nobody_waits)

    def room_stats(self, room: str) -> RoomStats | None:
        """None when the room is not active on this node."""
        table = self.tables.get(room)
        if table is None:
            return None
        known, audience = table.line.room, table.line.audience
        a, b, c, d = audience.shed
        return RoomStats(
            online=known.online,
            peak=known.peak,
            unique=known.unique,
            likes=known.likes,
            seq=known.seq,
            epoch=known.epoch,
            is_alone=table.line.is_alone,
            members_here=len(audience),
            lagging_here=audience.lagging_count,
            delivered_here=audience.delivered,
            shed_here=(a, b, c, d),
            aborted_here=dict(audience.aborted),
        )

    def seats(self, room: str) -> Sequence[Seat]:
        """Who is in the room on this node; nobody where it is not active."""
        table = self.tables.get(room)
        return table.line.audience.members() if table else []

    def online(self, room: str) -> int:
        """How many are in the room, on all nodes; 0 where it is not active here."""
        table = self.tables.get(room)
        return max(table.line.room.online, len(table.line.audience)) if table else 0

    def state(self, room: str, key: str) -> Mapping[str, Any] | None:
        """The latest value of a state, where the room is active here and has one."""
        table = self.tables.get(room)
        entry = table.line.room.state.get(key) if table else None
        return orjson.loads(b"{" + entry.draft.rest) if entry else None

    def metrics(self) -> Iterable[Any]:
        """Metric families for `Metrics.collect_from`."""
        return families(self)


def _wheel(settings: TransportSettings, clock: Clock) -> PingWheel:
    return PingWheel(
        interval_ms=settings.ping_interval_ms,
        connect_timeout_ms=settings.connect_timeout_ms,
        now_ms=clock.now_ms,
    )


def kick(user_id: str, *, utc_ms: int, reason: str, by: str = "") -> Sanction:
    """A ban of a minute."""
    return replace(Sanction(user_id=user_id, kind="ban", reason=reason, by=by), until_ms=utc_ms + 60_000)


def _nobody_waits(seq: int, shown: bool) -> None:
    """For drafts whose number interests nobody."""
