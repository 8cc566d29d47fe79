"""The active rooms of a node: opened for the first who comes, kept in step with the others, closed after the last.

Also what a line tells its node: settings and sanctions that apply from now on, a position that changed, and the counts
(online, likes, visitors) that nodes add up twice a second while something happens, every two seconds otherwise.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import secrets
from collections.abc import Callable, Coroutine
from typing import Final

import orjson

from danmaku.conduct import ChatSettings, Sanction, ban_names
from danmaku.ports import Attendance, ConductBook, RoomDirectory
from danmaku.room import Entry, Room
from danmaku.sequencer import Line
from danmaku.session import ClientLink
from danmaku.settings import RoomSettings
from danmaku.table import Table
from streamd.clock import Clock
from streamd.cluster.bus import DROP, Draft, Pulse, PulseReport, RoomBus
from streamd.errors import NotFoundError, UnavailableError
from streamd.telemetry.log import get_log

_log: Final = get_log("rooms")


class Totals:
    """What all rooms of this node did, closed ones included."""

    def __init__(self) -> None:
        self.delivered = 0
        self.repairs = 0
        self.shed = [0, 0, 0, 0]
        self.aborted: dict[str, int] = {}

    def add(self, line: Line) -> None:
        """One room's counts."""
        audience = line.audience
        self.delivered += audience.delivered
        self.repairs += line.repairs
        self.shed = [ours + theirs for ours, theirs in zip(self.shed, audience.shed, strict=True)]
        for reason, count in audience.aborted.items():
            self.aborted[reason] = self.aborted.get(reason, 0) + count


class Tables:
    """All active rooms. Also the `LineOwner` of their lines."""

    def __init__(
        self,
        *,
        bus: RoomBus,
        clock: Clock,
        directory: RoomDirectory,
        book: ConductBook,
        attendance: Attendance,
        settings: RoomSettings,
        spawn: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._directory = directory
        self._book = book
        self._attendance = attendance
        self._settings = settings
        self._spawn = spawn
        self._node = secrets.token_hex(5)
        self._counter = itertools.count(1)
        self._tables: dict[str, Table] = {}
        self._opening: dict[str, asyncio.Event] = {}
        self._closed = Totals()

    def __iter__(self) -> itertools.chain[Table]:
        return itertools.chain(list(self._tables.values()))

    def get(self, room: str) -> Table | None:
        """The room's table, when it is open."""
        table = self._tables.get(room)
        return table if table is not None and table.is_open else None

    async def open(self, room: str) -> Table:
        """The room's table, opened once however many ask at a time. Raises NotFoundError. Cancel-safe: yes."""
        while (table := self.get(room)) is None:
            opening = self._opening.get(room)
            if opening is None:
                return await self._open(room)
            await opening.wait()
        return table

    async def _open(self, name: str) -> Table:
        done = self._opening[name] = asyncio.Event()
        try:
            facts = await self._directory.facts(name)
            if facts is None:
                raise NotFoundError(f"There is no room {name!r}", code="room_not_found", fix="check the address")
            table = self._tables[name] = Table(self._line(name), self._settings.rates)
            chat, sanctions = await self._book.load(name)
            table.load(chat, sanctions, utc_ms=self._clock.utc_ms())
            await table.line.open()
            table.line.room.set_facts(title=facts.title, live=facts.live, card=facts.card)
            table.likes_known = table.line.room.likes
            table.empty_since_ms = self._clock.now_ms()
            table.is_open = True
            return table
        except BaseException:
            self._tables.pop(name, None)
            raise
        finally:
            del self._opening[name]
            done.set()

    def _line(self, name: str) -> Line:
        settings = self._settings
        room = Room(
            name,
            log_events=settings.log_events,
            log_age_ms=settings.log_age_ms,
            history_events=settings.history_events,
        )
        return Line(
            room,
            bus=self._bus,
            clock=self._clock,
            spawn=self._spawn,
            next_batch_id=lambda: f"{self._node}:{next(self._counter)}",
            owner=self,
            pace=settings.pace,
        )

    def totals(self) -> Totals:
        """Counters that never go back."""
        totals = copy.deepcopy(self._closed)
        for table in self:
            totals.add(table.line)
        return totals

    # -- what lines say ------------------------------------------------------------------------------------------

    def on_internal(self, line: Line, entry: Entry) -> None:
        """See LineOwner."""
        table = self._tables.get(line.room.name)
        if table is None:
            return
        if entry.draft.event == "chat":
            table.set_chat(ChatSettings.from_mapping(orjson.loads(entry.body)))
        elif entry.draft.event == "sanctioned":
            self._apply_sanction(table, entry)
        elif entry.draft.event == "held":
            table.on_held(entry)

    def on_state(self, line: Line, draft: Draft) -> None:
        """See LineOwner."""
        if draft.key == "card":
            payload = None if draft.flags & DROP else orjson.loads(b"{" + draft.rest)
            self._attendance.shown(line.room.name, payload, len(line.audience))

    def _apply_sanction(self, table: Table, entry: Entry) -> None:
        body = orjson.loads(entry.body)
        until_ms = 0 if entry.draft.flags & DROP else body["until_ms"]
        sanction = Sanction(user_id=body["user_id"], kind=body["kind"], until_ms=until_ms, reason=body["reason"])
        utc_ms = self._clock.utc_ms()
        table.conduct.impose(sanction, utc_ms=utc_ms)
        if sanction.kind == "ban" and until_ms > utc_ms:
            for member in table.line.audience.members():
                if sanction.user_id in ban_names(member.identity, member.address):
                    link = member.link
                    table.line.audience.then(lambda link=link: _close(link, "banned"))  # type: ignore[misc]

    def on_position(self, line: Line, *, after_seq: int, recovered: bool) -> None:
        """See LineOwner: everybody is welcomed again, under the new epoch."""
        table = self._tables.get(line.room.name)
        _log.info("rooms.position_changed", room=line.room.name, recovered=recovered, alone=line.is_alone)
        if table is None:
            return
        utc_ms = self._clock.utc_ms()
        seq = after_seq if recovered else line.room.seq
        for member in line.audience.members():
            welcome = table.welcome(member.identity, seq=seq, recovered=recovered, utc_ms=utc_ms)
            line.audience.send(member, welcome)

    def rejoin(self) -> None:
        """The bus is back: every line fetches what it missed."""
        for table in self:
            table.line.rejoin_soon()

    # -- counts and closing --------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Called four times a second: counts that are due, laggards, rooms that nobody is in."""
        now_ms = self._clock.now_ms()
        for table in self:
            if not table.is_open:
                continue
            table.line.audience.sweep(seq=table.line.room.seq)
            if table.line.is_alone and self._bus.ready():
                # A command timed out while publications went on: there is no return to be told of.
                table.line.rejoin_soon()
            if self._is_pulse_due(table, now_ms):
                table.is_pulsing = True
                table.pulsed_ms = now_ms
                self._spawn(self._pulse(table))
            if self._is_abandoned(table, now_ms):
                table.is_open = False
                del self._tables[table.name]
                self._closed.add(table.line)
                self._spawn(self._leave(table))

    def _is_pulse_due(self, table: Table, now_ms: int) -> bool:
        if table.is_pulsing:
            return False
        has_news = table.likes_pending or table.visitors or len(table.line.audience) != table.online_told
        wait_ms = self._settings.likes_pulse_ms if has_news else self._settings.pulse_ms
        return now_ms - table.pulsed_ms >= wait_ms

    def _is_abandoned(self, table: Table, now_ms: int) -> bool:
        if len(table.line.audience) or table.line.is_busy or table.is_pulsing:
            return False
        if table.empty_since_ms is None:
            table.empty_since_ms = now_ms
        return now_ms - table.empty_since_ms >= self._settings.linger_ms

    async def _pulse(self, table: Table) -> None:
        line = table.line
        if table.report is None:
            table.pulse_number += 1
            table.report = PulseReport(
                node=self._node,
                number=table.pulse_number,
                online=len(line.audience),
                likes=table.likes_pending,
                visitors=tuple(table.visitors),
                now_ms=self._clock.utc_ms(),
                ttl_ms=3 * self._settings.pulse_ms,
            )
            table.likes_pending = 0
            table.visitors.clear()
        report = table.report
        try:
            pulse = await self._bus.pulse(line.room.name, report)
            table.report = None
            table.likes_known = pulse.likes
            table.online_told = report.online
        except UnavailableError:
            pulse = self._own_counts(table)
        finally:
            table.is_pulsing = False
        line.take_pulse(pulse)

    def _own_counts(self, table: Table) -> Pulse:
        room = table.line.room
        online = len(table.line.audience)
        waiting = table.likes_pending + (table.report.likes if table.report else 0)
        likes = table.likes_known + waiting
        return Pulse(room.epoch, room.seq, online, max(room.peak, online), likes, room.unique, 1)

    async def _leave(self, table: Table) -> None:
        """Take this node out of the counts, then stop hearing the room."""
        if table.likes_pending or table.online_told:
            await self._pulse(table)
        await table.line.close()


def _close(link: object, reason: str) -> None:
    # A member's link is what the gateway put there.
    closable: ClientLink = link  # type: ignore[assignment]
    closable.close(reason)
