"""From a connection to a seat in a room, and from a member's packets to what they ask for.

One write joins: CONNECT, `welcome` and what was missed. Nobody else is told. A node lets in so many a second and tells
the rest when to come back, each at a moment of their own. Refusals are CONNECT_ERROR with `{"message", "data": {"code",
"fix", "retry_after_ms"?}}`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson

from danmaku import wire
from danmaku.conduct import Identity, RateBook, Refusal, ban_names
from danmaku.errors import WireError
from danmaku.fanout import Member
from danmaku.ports import Attendance, Identify
from danmaku.session import ClientLink, PingWheel
from danmaku.settings import RoomSettings
from danmaku.speech import Speech, refused
from danmaku.table import Table
from danmaku.tables import Tables
from streamd.clock import Clock
from streamd.cluster.bus import Limit, gcra
from streamd.errors import StreamdError

_FIXES: Final = {
    "room_required": 'connect with auth {"room": "..."}',
    "room_not_found": "check the address of the room",
    "busy": "connect again after retry_after_ms",
    "unauthenticated": "sign in again, or connect without a token as a guest",
    "banned": "ask the host of the room",
    "too_many_connections": "close other tabs of this room",
}
_MAX_LIKES: Final = 1_000
_SYNCS: Final = Limit("sync", 500, 10)


class Entrance:
    """The Door of a node."""

    def __init__(
        self,
        *,
        tables: Tables,
        speech: Speech,
        identify: Identify,
        attendance: Attendance,
        wheel: PingWheel,
        rates: RateBook,
        clock: Clock,
        settings: RoomSettings,
        spawn: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        self._tables = tables
        self._speech = speech
        self._identify = identify
        self._attendance = attendance
        self._wheel = wheel
        self._rates = rates
        self._clock = clock
        self._settings = settings
        self._spawn = spawn
        self._users: dict[str, int] = {}
        self._join_tat_us = 0
        self.is_closing = False
        self.joins = 0
        self.refused: dict[str, int] = {}
        self.gone: dict[str, int] = {}

    # -- the door ------------------------------------------------------------------------------------------------

    def on_open(self, link: ClientLink) -> None:
        """See Door."""
        self._wheel.add(link)

    def on_gone(self, link: ClientLink, reason: str) -> None:
        """See Door."""
        self._wheel.remove(link)
        self.gone[reason] = self.gone.get(reason, 0) + 1
        self._unseat(link)

    def on_moved(self, old: ClientLink, new: ClientLink) -> None:
        """A polling session became a WebSocket."""
        member = new.member = old.member
        old.member = None
        self._wheel.remove(old)
        if member is None:
            self._wheel.add(new)
            return
        self._wheel.watch(new)
        table = self._tables.get(member.room)
        if table is not None:
            table.line.audience.move(member, new)

    def _unseat(self, link: ClientLink) -> None:
        member, link.member = link.member, None
        if member is None:
            return
        user_id = member.identity.id
        left = self._users.get(user_id, 1) - 1
        if left:
            self._users[user_id] = left
        else:
            self._users.pop(user_id, None)
        table = self._tables.get(member.room)
        self._attendance.left(member.room, member)
        if table is not None:
            table.line.audience.remove(member)
            if not len(table.line.audience):
                table.empty_since_ms = self._clock.now_ms()

    def on_packet(self, link: ClientLink, packet: wire.Packet) -> None:
        """See Door."""
        if packet.namespace:
            if packet.kind == wire.SIO_CONNECT:
                link.send(wire.connect_error_packet(b'{"message":"Invalid namespace"}', packet.namespace))
        elif packet.kind == wire.SIO_EVENT:
            self._on_event(link, packet)
        elif packet.kind == wire.SIO_CONNECT:
            self._on_connect(link, _parsed(packet.body) if packet.body else {})
        elif packet.kind == wire.SIO_DISCONNECT:
            self._unseat(link)
            self._wheel.add_stranger(link)

    # -- joining -------------------------------------------------------------------------------------------------

    def _on_connect(self, link: ClientLink, auth: object) -> None:
        room = auth.get("room") if isinstance(auth, dict) else None
        if link.member is not None:
            raise WireError("the namespace is joined already")
        if not isinstance(auth, dict) or not isinstance(room, str) or not room:
            self._turn_away(link, Refusal("room_required", "Say which room you want to join"))
            return
        wait_ms = self._admission_wait_ms()
        if wait_ms:
            self._turn_away(link, Refusal("busy", "Too many people are coming in at once", wait_ms))
            return
        table = self._tables.get(room)
        if table is not None and not auth.get("token"):
            self._seat(link, table, _guest(link), auth.get("resume"))
        else:
            self._spawn(self._join(link, room, auth))

    def _admission_wait_ms(self) -> int:
        if self.is_closing:
            return 1_000
        # In microseconds: a limit of some thousands a second has an interval of less than a millisecond.
        limit = Limit("joins", 1_000_000 // self._settings.joins_per_s, self._settings.join_burst)
        self._join_tat_us, wait_us = gcra(self._join_tat_us, self._clock.now_ms() * 1_000, limit)
        # Spread, or those who were turned away together come back together.
        return wait_us // 1_000 + 200 + secrets.randbelow(1_800) if wait_us else 0

    async def _join(self, link: ClientLink, room: str, auth: dict[str, Any]) -> None:
        token = auth.get("token")
        try:
            identity: Identity | None = _guest(link)
            if token:
                identity = await self._identify(token, room) if isinstance(token, str) else None
            if identity is None:
                self._turn_away(link, Refusal("unauthenticated", "The access token is not valid (any more)"))
                return
            table = await self._tables.open(room)
        except StreamdError as error:
            self._turn_away(link, Refusal(error.code, error.what))
            return
        if link.member is None and link.is_open:
            self._seat(link, table, identity, auth.get("resume"))

    def _seat(self, link: ClientLink, table: Table, identity: Identity, resume: object) -> None:
        refusal = self._may_enter(link, table, identity)
        if refusal is not None:
            self._turn_away(link, refusal)
            return
        member = link.member = Member(link, identity, link.address, table.name)
        self._users[identity.id] = self._users.get(identity.id, 0) + 1
        self._wheel.joined(link)
        self.joins += 1
        table.empty_since_ms = None
        table.visitors.add(link.address if identity.is_guest else identity.id)
        packets = [wire.connect_packet(link.sid)]
        packets += table.first_words(identity, resume, utc_ms=self._clock.utc_ms())
        if link.sink is not None:
            link.sink.write(b"".join([wire.frame(packet) for packet in packets]))
        else:
            for packet in packets:
                link.send(packet)
        table.line.audience.add(member)
        self._attendance.came(table.name, member)

    def _may_enter(self, link: ClientLink, table: Table, identity: Identity) -> Refusal | None:
        utc_ms = self._clock.utc_ms()
        for who in ban_names(identity, link.address):
            ban = table.conduct.in_force("ban", who, utc_ms)
            if ban is not None:
                wait_ms = ban.until_ms - utc_ms
                return Refusal(
                    "banned", ban.reason or "You may not enter this room", wait_ms if wait_ms < 1 << 31 else 0
                )
        if self._users.get(identity.id, 0) >= self._settings.max_connections_per_user:
            return Refusal("too_many_connections", "You are here too many times already", 5_000)
        return None

    def _turn_away(self, link: ClientLink, refusal: Refusal) -> None:
        self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
        data: dict[str, object] = {"code": refusal.code, "fix": _FIXES.get(refusal.code, "try again later")}
        if refusal.retry_after_ms:
            data["retry_after_ms"] = refusal.retry_after_ms
        link.send(wire.connect_error_packet(orjson.dumps({"message": refusal.message, "data": data})))

    # -- events --------------------------------------------------------------------------------------------------

    def _on_event(self, link: ClientLink, packet: wire.Packet) -> None:
        member = link.member
        table = self._tables.get(member.room) if member is not None else None
        if member is None or table is None:
            return  # of a namespace that is not joined: Socket.IO servers ignore it
        arguments = _parsed(packet.body)
        if not isinstance(arguments, list) or not arguments or not isinstance(arguments[0], str):
            raise WireError("an event is a list that begins with its name")
        data = arguments[1] if len(arguments) > 1 else None
        ack_id = packet.ack_id
        if arguments[0] == "danmaku":
            self._speech.hear(table, member, data, lambda ack: _answer(table, member, ack_id, orjson.dumps(ack)))
        elif arguments[0] == "like":
            self._on_like(table, member, data, ack_id)
        elif arguments[0] == "sync":
            self._on_sync(link, table, member, data, ack_id)
        elif ack_id >= 0:
            ack = refused(Refusal("unknown_event", f"Rooms know no event {arguments[0][:40]!r}"))
            _answer(table, member, ack_id, orjson.dumps(ack))

    def _on_sync(self, link: ClientLink, table: Table, member: Member, data: object, ack_id: int) -> None:
        """A few bytes that ask for up to 500 events: what a connection may ask is limited more than what it may say."""
        wait_ms = self._rates.charge(_SYNCS._replace(name=f"sync:{link.sid}"), self._clock.now_ms())
        if wait_ms:
            ack = refused(Refusal("rate_user", "You are asking too often what you missed", wait_ms))
            _answer(table, member, ack_id, orjson.dumps(ack))
            return
        known = data if isinstance(data, dict) else {}
        utc_ms = self._clock.utc_ms()
        body = table.missed(member.identity, known.get("epoch"), known.get("seq"), utc_ms=utc_ms)
        _answer(table, member, ack_id, body)

    def _on_like(self, table: Table, member: Member, data: object, ack_id: int) -> None:
        count = data.get("count", 1) if isinstance(data, dict) else 1
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            ack = refused(Refusal("invalid", "count is a whole number of at least 1"))
            _answer(table, member, ack_id, orjson.dumps(ack))
            return
        per_s = self._settings.likes_per_s
        limit = Limit(f"{table.name}/like:{member.identity.id}", 1_000 // per_s, per_s)
        accepted = self._rates.take(limit, min(count, _MAX_LIKES), self._clock.now_ms())
        table.likes_pending += accepted
        self._attendance.liked(table.name, accepted)
        _answer(table, member, ack_id, b'{"ok":true,"accepted":%d}' % accepted)


def _guest(link: ClientLink) -> Identity:
    return Identity(id=f"guest-{link.sid[:12]}", name=f"guest-{link.sid[-5:]}", role="guest")


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise WireError("the packet holds no JSON", close_code=1007) from None


def _answer(table: Table, member: Member, ack_id: int, body: bytes) -> None:
    if ack_id >= 0:
        table.line.audience.send(member, wire.ack_packet(ack_id, body))
