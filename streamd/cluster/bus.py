"""What nodes tell each other, as values and protocols. No implementation, no I/O, nothing but the standard library.

A room has one *line*: batches of drafts, numbered by whoever holds the line's counter, so that every node sees the same
events under the same numbers. A batch says which number came before it (`prev`), and that is how a node notices that it
missed one. Payloads are JSON that only the publisher ever builds: the number is spliced in as bytes, nobody parses.

Small facts only: a draft of more than 64 KiB is refused. Media never passes here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, Protocol

from streamd.errors import InvalidError

# Delivery classes, most precious first: A orders, price, card, stock, ban, live state; B gifts and host messages;
# C danmaku; D likes and entrances. D never enters a line.
A: Final = 0
B: Final = 1
C: Final = 2
D: Final = 3
CLASS_NAMES: Final = "ABCD"

STATE: Final = 1  # the draft is the latest value of its key, kept for those who come later
DROP: Final = 2  # the key has no value any more
INTERNAL: Final = 4  # for nodes, never shown to members

MAX_DRAFT_BYTES: Final = 65_536
_HEAD: Final = Struct(">BBBBBI")


class Draft(NamedTuple):
    """An event before it has its number. `rest` is a JSON object's text without its opening brace."""

    cls: int
    event: str
    rest: bytes
    key: str = ""  # of a state; of a danmaku, the message's id
    flags: int = 0
    target: str = ""  # only members with this user id are shown it; empty: everybody

    def body(self, seq: int) -> bytes:
        """The payload with its number: a JSON object."""
        comma = b"" if self.rest == b"}" else b","
        return b'{"seq":%d' % seq + comma + self.rest


class Batch(NamedTuple):
    """Drafts that were numbered together: `first`, `first + 1`, …

    `taken` numbers were used, which may be more than there are drafts: messages that were accepted and shown to nobody
    but their authors have numbers too. `prev` is the last number of the batch before.
    """

    epoch: str
    prev: int
    first: int
    taken: int
    at_ms: int
    batch_id: str
    drafts: tuple[Draft, ...]

    @property
    def last(self) -> int:
        """The highest number used; `prev` when the batch is empty."""
        return self.first + self.taken - 1


def pack_draft(draft: Draft) -> bytes:
    """A draft as bytes, for the wire between nodes. Raises InvalidError when a part is too long."""
    event, key, target = draft.event.encode(), draft.key.encode(), draft.target.encode()
    if max(len(event), len(key), len(target)) > 255 or len(draft.rest) > MAX_DRAFT_BYTES:
        raise InvalidError(
            "The room event is too large",
            why=f"{len(draft.rest)} bytes of payload, names of {len(event)}, {len(key)} and {len(target)}",
            fix=f"keep payloads under {MAX_DRAFT_BYTES} bytes and names under 256",
            code="event_too_large",
        )
    head = _HEAD.pack(draft.cls, draft.flags, len(event), len(key), len(target), len(draft.rest))
    return b"".join((head, event, key, target, draft.rest))


def unpack_drafts(data: bytes, at: int = 0) -> tuple[Draft, ...]:
    """What `pack_draft` packed, one after the other, from `at` to the end."""
    drafts: list[Draft] = []
    while at < len(data):
        cls, flags, event_size, key_size, target_size, rest_size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        event = data[at : at + event_size].decode()
        at += event_size
        key = data[at : at + key_size].decode()
        at += key_size
        target = data[at : at + target_size].decode()
        at += target_size
        drafts.append(Draft(cls, event, data[at : at + rest_size], key, flags, target))
        at += rest_size
    return tuple(drafts)


class StateEntry(NamedTuple):
    """The latest value of one state key."""

    seq: int
    draft: Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomMemory:
    """All that is known of a room, for a node that begins to serve it."""

    epoch: str
    seq: int
    state: dict[str, StateEntry]
    batches: tuple[Batch, ...]  # the log's tail, oldest first
    likes: int = 0
    peak: int = 0
    unique: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseReport:
    """What one node adds to a room's counts. `number` grows by one a report, so that a repeat adds nothing."""

    node: str
    number: int
    online: int
    likes: int  # given since the last report
    visitors: tuple[str, ...]  # identities seen since the last report
    now_ms: int  # UTC
    ttl_ms: int  # how long `online` counts without another report


class Pulse(NamedTuple):
    """A room's counts over all nodes, and where its line stands."""

    epoch: str
    seq: int
    online: int
    peak: int
    likes: int
    unique: int
    nodes: int


class Limit(NamedTuple):
    """At most `burst` at once, and one more every `interval_ms`."""

    name: str
    interval_ms: int
    burst: int


class Admission(NamedTuple):
    """A message that asks to be let in: `ident` names it (author and client id), `limits` are all charged or none."""

    ident: str
    limits: tuple[Limit, ...]


class Verdict(NamedTuple):
    """`kind`: "ok"; "again" (this ident was admitted before and got number `seq`, 0 while undecided); "limited"."""

    kind: str
    seq: int = 0
    limit: str = ""
    retry_after_ms: int = 0


def gcra(tat_ms: int, now_ms: int, limit: Limit) -> tuple[int, int]:
    """Generic cell rate: (new theoretical arrival time, 0) when allowed, else (the old one, milliseconds to wait)."""
    tat_ms = max(tat_ms, now_ms)
    early_ms = tat_ms - now_ms - limit.interval_ms * (limit.burst - 1)
    if early_ms > 0:
        return tat_ms, early_ms
    return tat_ms + limit.interval_ms, 0


class RoomBus(Protocol):
    """Rooms across nodes. Every call may raise UnavailableError; a node goes on alone while it does."""

    async def append(
        self,
        room: str,
        drafts: Sequence[Draft],
        *,
        taken: int,
        batch_id: str,
        min_seq: int,
        at_ms: int,
    ) -> Batch:
        """Number, log and publish. The same `batch_id` again gives the same numbers and publishes nothing.

        `batch_id` is "node:count" with a growing count; `min_seq` lifts the counter that far first.
        Cancel-safe: no; a cancelled append may have happened. Repeat it under the same id.
        """
        ...

    async def replay(self, room: str, *, epoch: str, after_seq: int) -> tuple[Batch, ...] | None:
        """Batches after a number, oldest first; None when the log does not reach back that far or is another epoch's.

        Cancel-safe: yes.
        """
        ...

    async def recall(self, room: str) -> RoomMemory:
        """Everything at once, consistent. Cancel-safe: yes."""
        ...

    async def listen(self, room: str, deliver: Callable[[Batch], None]) -> None:
        """Hear the room's batches until `unlisten`. Repeats and gaps are possible and are the listener's to notice.

        Cancel-safe: no; call `unlisten` after.
        """
        ...

    async def unlisten(self, room: str, deliver: Callable[[Batch], None]) -> None:
        """Stop; when nobody listens any more, receive not one byte of the room. Idempotent. Cancel-safe: no."""
        ...

    async def pulse(self, room: str, report: PulseReport) -> Pulse:
        """Add counts and read the sums. Cancel-safe: repeat the same report."""
        ...

    async def admit(self, room: str, admissions: Sequence[Admission], *, now_ms: int) -> list[Verdict]:
        """Judge messages against what all nodes let in. `now_ms` is UTC. Cancel-safe: no."""
        ...

    async def settle(self, room: str, numbers: dict[str, int], *, now_ms: int) -> None:
        """Remember which number each admitted ident got; 0 forgets the ident, so that it may be tried again."""
        ...

    def ready(self) -> bool:
        """Whether this node both reaches the bus and hears from it: a round trip succeeded lately."""
        ...

    def on_return(self, call: Callable[[], None]) -> None:
        """Call after a break once the bus is heard again, for the repair of what was missed."""
        ...
