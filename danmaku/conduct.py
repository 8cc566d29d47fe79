"""Who may say what in a room: people, roles, sanctions, settings and rates, apart from the words themselves.

Values and decisions only; the caller brings the time and keeps nothing but what is returned or held here. Every refusal
has a stable code, a sentence for the person, and how long to wait when waiting helps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from danmaku.moderation import Action, Word
from streamd.cluster.bus import Limit, gcra
from streamd.errors import InvalidError

Silence = Literal["allow", "hold", "block"]
ADMIN: Final = "admin"
STAFF: Final = frozenset({ADMIN, "host", "assistant", "moderator"})
# Slow mode and mute-all are for the audience; those who run the show speak through them.
FOREVER_MS: Final = 1 << 52


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person in a room. A guest has a made-up id that lasts for the connection."""

    id: str
    name: str
    role: str = "viewer"  # admin host assistant moderator viewer guest
    level: int = 0

    @property
    def is_staff(self) -> bool:
        """Runs the show or keeps its order."""
        return self.role in STAFF

    @property
    def is_guest(self) -> bool:
        """Is not signed in."""
        return self.role == "guest"


def ban_names(person: Identity, address: str) -> tuple[str, ...]:
    """The names that a ban of this person may stand under. Who runs the show is banned by name only, for a network may
    be the studio's own, and whoever bans it may stand below them."""
    return (person.id,) if person.is_staff else (person.id, f"address:{address}")


class Refusal(NamedTuple):
    """Why something was not let through. `retry_after_ms` is 0 when waiting does not help."""

    code: str
    message: str
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanction:
    """`kind`: "mute" or "ban". In force until `until_ms` UTC."""

    user_id: str
    kind: str
    until_ms: int = FOREVER_MS
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """How a room talks. `on_silence`: what becomes of a message when the reviewer outside does not answer in time."""

    slow_mode_ms: int = 0
    muted_all: bool = False
    guests_may_speak: bool = False
    max_length: int = 100
    shown_per_s: int = 40
    on_silence: Silence = "allow"
    words: tuple[Word, ...] = ()

    @classmethod
    def from_mapping(cls, raw: Mapping[str, object]) -> ChatSettings:
        """From JSON. Words are strings (blocked) or `{"text", "action"}`. Raises InvalidError naming the field."""
        return cls(
            slow_mode_ms=_int(raw, "slow_mode_ms", 0, 0, 600_000),
            muted_all=bool(raw.get("muted_all", False)),
            guests_may_speak=bool(raw.get("guests_may_speak", False)),
            max_length=_int(raw, "max_length", 100, 1, 500),
            shown_per_s=_int(raw, "shown_per_s", 40, 1, 1_000),
            on_silence=_silence(raw.get("on_silence", "allow")),
            words=tuple(read_words(raw.get("words", ()))),
        )

    def to_mapping(self) -> dict[str, object]:
        """As JSON."""
        return {
            "slow_mode_ms": self.slow_mode_ms,
            "muted_all": self.muted_all,
            "guests_may_speak": self.guests_may_speak,
            "max_length": self.max_length,
            "shown_per_s": self.shown_per_s,
            "on_silence": self.on_silence,
            "words": [{"text": word.text, "action": word.action} for word in self.words],
        }


def _int(raw: Mapping[str, object], name: str, default: int, low: int, high: int) -> int:
    value = raw.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidError(f"{name} is {value!r}", why=f"it must be a whole number from {low} to {high}", code=name)
    return value


def _silence(value: object) -> Silence:
    known: dict[object, Silence] = {"allow": "allow", "hold": "hold", "block": "block"}
    if not isinstance(value, str) or value not in known:
        raise InvalidError(f"on_silence is {value!r}", why="it is allow, hold or block", code="on_silence")
    return known[value]


def read_words(raw: object) -> Iterable[Word]:
    """A list of words from JSON. Raises InvalidError."""
    if not isinstance(raw, list | tuple):
        raise InvalidError("words is not a list", fix='send ["word", {"text": "word", "action": "mask"}]')
    actions: dict[str, Action] = {"mask": "mask", "hold": "hold", "block": "block"}
    for entry in raw:
        text = entry.get("text") if isinstance(entry, Mapping) else entry
        action = entry.get("action", "block") if isinstance(entry, Mapping) else "block"
        if not isinstance(text, str) or action not in actions:
            raise InvalidError(f"words holds {entry!r}", fix='use a string or {"text", "action": mask|hold|block}')
        yield Word(text, actions[action])


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRates:
    """How much may be said: (one every so many milliseconds, so many at once), whose network it comes from last.

    An address stands for an office or a phone network, so it is allowed what fifty people are.
    """

    user: tuple[int, int] = (1_000, 5)
    staff: tuple[int, int] = (100, 20)
    address: tuple[int, int] = (20, 250)
    room: tuple[int, int] = (2, 500)


@dataclass(slots=True, kw_only=True)
class Conduct:
    """One room's sanctions and settings, as this node knows them."""

    rates: SpeechRates = field(default_factory=SpeechRates)
    chat: ChatSettings = field(default_factory=ChatSettings)
    sanctions: dict[tuple[str, str], Sanction] = field(default_factory=dict)

    def impose(self, sanction: Sanction, *, utc_ms: int) -> None:
        """A sanction that ended (or ends now) lifts the one before it."""
        key = (sanction.kind, sanction.user_id)
        if sanction.until_ms <= utc_ms:
            self.sanctions.pop(key, None)
        else:
            self.sanctions[key] = sanction

    def in_force(self, kind: str, user_id: str, utc_ms: int) -> Sanction | None:
        """The sanction of this kind that holds now."""
        sanction = self.sanctions.get((kind, user_id))
        if sanction is None or sanction.until_ms <= utc_ms:
            return None
        return sanction

    def muted_until_ms(self, person: Identity, utc_ms: int) -> int:
        """0 when the person is not muted."""
        sanction = self.in_force("mute", person.id, utc_ms)
        return sanction.until_ms if sanction else 0

    def may_speak(self, person: Identity, *, utc_ms: int) -> Refusal | None:
        """None when the person may; what the text says is judged elsewhere."""
        sanction = self.in_force("mute", person.id, utc_ms)
        if sanction is not None:
            wait_ms = sanction.until_ms - utc_ms if sanction.until_ms < FOREVER_MS else 0
            return Refusal("muted", sanction.reason or "You are muted in this room", wait_ms)
        if person.is_staff:
            return None
        if self.chat.muted_all:
            return Refusal("muted_all", "The host has closed the chat for now")
        if person.is_guest and not self.chat.guests_may_speak:
            return Refusal("sign_in", "Sign in to speak")
        return None

    def limits(self, person: Identity, address: str) -> tuple[Limit, ...]:
        """What one message is charged against, narrowest first. Staff are held to a rate of their own."""
        rates = self.rates
        if person.is_staff:
            return (Limit(f"u:{person.id}", *rates.staff),)
        limits = [
            Limit(f"u:{person.id}", *rates.user),
            Limit(f"a:{address}", *rates.address),
            Limit("room", *rates.room),
        ]
        if self.chat.slow_mode_ms:
            limits.insert(0, Limit(f"slow:{person.id}", self.chat.slow_mode_ms, 1))
        return tuple(limits)


def refusal_of_limit(name: str, retry_after_ms: int) -> Refusal:
    """The words for a limit that was hit: whose it is, so that nobody wonders why everybody is silent."""
    if name.startswith("slow:"):
        return Refusal("slow_mode", "Slow mode is on", retry_after_ms)
    if name.startswith("u:"):
        return Refusal("rate_user", "You are sending too fast", retry_after_ms)
    if name.startswith("a:"):
        return Refusal("rate_address", "Too many messages from your network", retry_after_ms)
    return Refusal("rate_room", "The room is too busy", retry_after_ms)


class RateBook:
    """Limits as one node keeps them, bounded: the least lately charged are forgotten first."""

    def __init__(self, *, max_entries: int = 50_000) -> None:
        self._tats: OrderedDict[str, int] = OrderedDict()
        self._max_entries = max_entries

    def charge(self, limit: Limit, now_ms: int) -> int:
        """0 when allowed (and charged), else milliseconds to wait."""
        tat_ms, wait_ms = gcra(self._tats.get(limit.name, 0), now_ms, limit)
        if not wait_ms:
            self._tats[limit.name] = tat_ms
            self._tats.move_to_end(limit.name)
            if len(self._tats) > self._max_entries:
                self._tats.popitem(last=False)
        return wait_ms

    def take(self, limit: Limit, amount: int, now_ms: int) -> int:
        """How many of `amount` are allowed, all of which are charged."""
        tat_ms = max(self._tats.get(limit.name, 0), now_ms)
        room_ms = now_ms + limit.interval_ms * limit.burst - tat_ms
        allowed = max(0, min(amount, room_ms // limit.interval_ms))
        if allowed:
            self._tats[limit.name] = tat_ms + allowed * limit.interval_ms
            self._tats.move_to_end(limit.name)
            if len(self._tats) > self._max_entries:
                self._tats.popitem(last=False)
        return allowed
