"""One active room on this node and all that belongs to it: line, conduct, counts, and what waits for review."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from danmaku.conduct import ChatSettings, Conduct, Identity, Sanction, SpeechRates
from danmaku.room import Entry
from danmaku.sequencer import Line
from danmaku.wire import event_packet
from streamd.cluster.bus import DROP, INTERNAL, STATE, A, Draft, PulseReport
from streamd.errors import NotFoundError

_MAX_HELD = 200


class Table:
    """A room as the gateway serves it. Made when the first member comes, closed some time after the last left."""

    def __init__(self, line: Line, rates: SpeechRates) -> None:
        self.name = line.room.name
        self.line = line
        self.conduct = Conduct(rates=rates)
        self.is_open = False
        self.is_pulsing = False
        self.likes_known = 0  # by the bus, lately
        self.likes_pending = 0
        self.online_told = 0
        self.report: PulseReport | None = None  # sent and not yet answered
        self.pulse_number = 0
        self.pulsed_ms = -1_000_000
        self.visitors: set[str] = set()
        self.empty_since_ms: int | None = None
        self.held: dict[str, dict[str, object]] = {}
        self._welcome_end = b""
        self._welcome_chat: ChatSettings | None = None

    def load(self, chat: ChatSettings, sanctions: Iterable[Sanction], *, utc_ms: int) -> None:
        """What outlived the process; what the line says is newer."""
        self.set_chat(chat)
        for sanction in sanctions:
            self.conduct.impose(sanction, utc_ms=utc_ms)

    def set_chat(self, chat: ChatSettings) -> None:
        """Settings that hold from now on."""
        self.conduct.chat = chat
        self.line.shown_per_s = chat.shown_per_s

    def welcome_end(self) -> bytes:
        """`limits` and `pacing` of the welcome, and its closing brace."""
        chat = self.conduct.chat
        if self._welcome_chat is not chat:
            limits = {
                "max_length": chat.max_length,
                "slow_mode_ms": chat.slow_mode_ms,
                "muted_all": chat.muted_all,
                "guests_may_speak": chat.guests_may_speak,
                "likes_per_s": 20,
            }
            pacing = {"refresh_ms": 100, "max_delay_ms": 2_000, "shown_per_s": chat.shown_per_s}
            self._welcome_end = b',"limits":' + orjson.dumps(limits) + b',"pacing":' + orjson.dumps(pacing) + b"}"
            self._welcome_chat = chat
        return self._welcome_end

    def welcome(self, person: Identity, *, seq: int, recovered: bool, utc_ms: int) -> bytes:
        """The `welcome` packet: shared snapshot, then what is this person's own."""
        room = self.line.room
        me = {
            "id": person.id,
            "name": person.name,
            "role": person.role,
            "muted_until_ms": self.conduct.muted_until_ms(person, utc_ms),
        }
        body = b"".join(
            (
                room.snapshot(),
                b',"seq":%d,"history":' % seq,
                b"[]" if recovered else room.history(),
                b',"recovered":true,"me":' if recovered else b',"recovered":false,"me":',
                orjson.dumps(me),
                self.welcome_end(),
            )
        )
        return event_packet("welcome", body)

    def first_words(self, person: Identity, resume: object, *, utc_ms: int) -> list[bytes]:
        """What a person is told on entering: what they missed when that is certain, else the room as it stands."""
        room = self.line.room
        if isinstance(resume, dict):
            epoch, seq = resume.get("epoch"), resume.get("seq")
            if isinstance(epoch, str) and isinstance(seq, int):
                missed = room.since(epoch, seq, user_id=person.id, now_ms=utc_ms)
                if missed is not None:
                    welcome = self.welcome(person, seq=seq, recovered=True, utc_ms=utc_ms)
                    return [welcome, *(each.packet for each in missed)]
        return [self.welcome(person, seq=room.seq, recovered=False, utc_ms=utc_ms)]

    def missed(self, person: Identity, epoch: object, seq: object, *, utc_ms: int) -> bytes:
        """The answer to `sync`: JSON with the events since then, or with a fresh welcome when they are not known."""
        room = self.line.room
        missed = None
        if isinstance(epoch, str) and isinstance(seq, int):
            missed = room.since(epoch, seq, user_id=person.id, now_ms=utc_ms)
        packets = [each.packet for each in missed or ()]
        if missed is None:
            packets = [self.welcome(person, seq=room.seq, recovered=False, utc_ms=utc_ms)]
        events = b",".join([packet[2:] for packet in packets])
        recovered = b"false" if missed is None else b"true"
        head = b'{"ok":true,"recovered":%s,"epoch":%s,"seq":%d,"events":[' % (
            recovered,
            orjson.dumps(room.epoch),
            room.seq,
        )
        return head + events + b"]}"

    def hold(self, message_id: str, payload: dict[str, object]) -> None:
        """Put a message aside for a moderator, on all nodes; the oldest gives way when too many wait."""
        self._submit_held(message_id, payload, STATE | INTERNAL)
        while len(self.held) >= _MAX_HELD:
            self.release(next(iter(self.held)))

    def release(self, message_id: str) -> dict[str, object]:
        """Take a message that was held, on all nodes. Raises NotFoundError when none of that id waits."""
        payload = self.held.pop(message_id, None)
        if payload is None:
            raise NotFoundError(
                "no message of this id waits for review",
                why="another moderator was quicker, or it never did",
                fix="read the list again",
                code="not_held",
            )
        self._submit_held(message_id, {}, DROP | INTERNAL)
        return payload

    def _submit_held(self, message_id: str, payload: dict[str, object], flags: int) -> None:
        draft = Draft(A, "held", orjson.dumps(payload)[1:], f"held:{message_id}", flags)
        self.line.submit_event(draft, payload, waiter=_nobody_waits)

    def on_held(self, entry: Entry) -> None:
        """A message was put aside, or taken, somewhere."""
        message_id = entry.draft.key.partition(":")[2]
        if entry.draft.flags & DROP:
            self.held.pop(message_id, None)
        else:
            payload = orjson.loads(entry.body)
            payload.pop("seq", None)
            self.held[message_id] = payload


def _nobody_waits(seq: int, shown: bool) -> None:
    """For drafts whose number interests nobody."""
