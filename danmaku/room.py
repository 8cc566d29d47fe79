"""What one room knows: its numbers, its log, its latest state, and the bytes that members are told.

In: batches in the order of the room's line, and counts. Out: ticks (packets by class, ready to be framed) and
snapshots. Every payload arrives as JSON text and leaves as it came; the room splices, never parses, save for the few
events it must understand itself (`live`, `retract`).

Invariants: `seq` never goes back within an epoch; what `since` returns together with what comes after is everything,
once; the log is bounded by count and age. Order inside a tick is the order of the numbers.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from danmaku.wire import event_packet
from streamd.cluster.bus import DROP, INTERNAL, STATE, A, Batch, C, Draft, Pulse, RoomMemory, StateEntry

DANMAKU: Final = "danmaku"
_MAX_REPLAY: Final = 500
_GAP_EVERY_MS: Final = 1_000


class Entry(NamedTuple):
    """One event in the log. `body` is the payload with its number."""

    seq: int
    at_ms: int
    draft: Draft
    body: bytes


class TickPacket(NamedTuple):
    """One packet of a tick; `events` events of class `cls` are lost to whoever is not sent it."""

    cls: int
    packet: bytes
    events: int


class Personal(NamedTuple):
    """A packet for the members with one user id."""

    user_id: str
    packet: bytes


class Tick(NamedTuple):
    """What a batch means for members (`packets`, `personal`) and for the node itself (`internal`)."""

    first: int
    last: int
    packets: tuple[TickPacket, ...]
    personal: tuple[Personal, ...]
    internal: tuple[Entry, ...]


def group_packets(entries: Iterable[Entry]) -> list[TickPacket]:
    """Events as packets, in order; neighbouring danmaku of one class become one list."""
    packets: list[TickPacket] = []
    bodies: list[bytes] = []
    cls = C
    for entry in entries:
        draft = entry.draft
        if bodies and (draft.event != DANMAKU or draft.cls != cls):
            packets.append(_danmaku_packet(cls, bodies))
            bodies = []
        if draft.event == DANMAKU:
            cls = draft.cls
            bodies.append(entry.body)
        else:
            packets.append(TickPacket(draft.cls, event_packet(draft.event, entry.body), 1))
    if bodies:
        packets.append(_danmaku_packet(cls, bodies))
    return packets


def _danmaku_packet(cls: int, bodies: list[bytes]) -> TickPacket:
    return TickPacket(cls, event_packet(DANMAKU, b"[" + b",".join(bodies) + b"]"), len(bodies))


def gap_body(from_seq: int, to_seq: int, dropped: dict[str, int]) -> bytes:
    """Payload of `gap`."""
    return _json({"from_seq": from_seq, "to_seq": to_seq, "dropped": dropped})


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Room:
    """One room on one node."""

    def __init__(
        self, name: str, *, log_events: int = 2_000, log_age_ms: int = 600_000, history_events: int = 50
    ) -> None:
        self.name = name
        self.title = ""
        self.live = False
        self.epoch = ""
        self.seq = 0
        self.online = self.peak = self.likes = self.unique = 0
        self.nodes = 1
        self.state: dict[str, StateEntry] = {}
        self._log_events = log_events
        self._log_age_ms = log_age_ms
        self._log: deque[Entry] = deque()
        self._floor = 0
        self._history: deque[Entry] = deque(maxlen=history_events)
        self._told_likes = self._told_online = self._told_peak = -1
        self._unshown = 0  # numbers used by messages that were shown to nobody, not yet told
        self._unshown_from = 0
        self._gap_told_ms = 0
        self._former = ("", 0)  # the epoch before a renaming, and its last number
        self._snapshot = b""  # of the present version; emptied by every change

    def load(self, memory: RoomMemory) -> None:
        """Begin with what the bus remembers, or begin again after it forgot."""
        self.epoch, self.seq = memory.epoch, memory.seq
        self.likes, self.peak, self.unique = memory.likes, memory.peak, memory.unique
        self.state = dict(memory.state)
        self._log.clear()
        self._history.clear()
        self._unshown = 0
        self._former = ("", 0)
        self._floor = memory.batches[0].prev if memory.batches else memory.seq
        for batch in memory.batches:
            self._remember(batch)
        self._notice_live(self.state.get("live"))
        self.touch()

    def rename(self, epoch: str) -> None:
        """Go on under another epoch, with the same numbers: what was resumable stays so under the former name."""
        self._former = (self.epoch, self.seq)
        self.epoch = epoch
        self.touch()

    def touch(self) -> None:
        """What the snapshot shows has changed."""
        self._snapshot = b""

    def set_facts(self, *, title: str, live: bool, card: Mapping[str, object] | None = None) -> None:
        """What the catalogue of rooms says; what the line says, in its state or its log, is newer and wins."""
        self.title = title
        if card is not None and "card" not in self.state and all(each.draft.event != "card" for each in self._log):
            self.state["card"] = StateEntry(self.seq, Draft(A, "card", _json(card)[1:], "card", STATE))
        if "live" not in self.state:
            self.live = live
        self.touch()

    def apply(self, batch: Batch) -> Tick:
        """Take the next batch of the line. The caller keeps the order: `batch.prev` is this room's `seq`."""
        entries = self._remember(batch)
        self.seq = batch.last
        self.touch()
        shown: list[Entry] = []
        personal: list[Personal] = []
        internal: list[Entry] = []
        for entry in entries:
            draft = entry.draft
            if draft.flags & INTERNAL:
                internal.append(entry)
            elif draft.target:
                personal.append(Personal(draft.target, event_packet(draft.event, entry.body)))
            else:
                shown.append(entry)
        packets = group_packets(shown)
        self._count_unshown(batch, packets)
        return Tick(batch.first, batch.last, tuple(packets), tuple(personal), tuple(internal))

    def _count_unshown(self, batch: Batch, packets: list[TickPacket]) -> None:
        unshown = batch.taken - len(batch.drafts)
        if unshown:
            self._unshown_from = self._unshown_from if self._unshown else batch.first
            self._unshown += unshown
        if self._unshown and batch.at_ms - self._gap_told_ms >= _GAP_EVERY_MS:
            body = gap_body(self._unshown_from, batch.last, {"C": self._unshown})
            packets.append(TickPacket(C, event_packet("gap", body), self._unshown))
            self._unshown = 0
            self._gap_told_ms = batch.at_ms

    def _remember(self, batch: Batch) -> list[Entry]:
        entries = []
        for offset, draft in enumerate(batch.drafts):
            seq = batch.first + offset
            entry = Entry(seq, batch.at_ms, draft, draft.body(seq))
            entries.append(entry)
            if draft.flags & DROP:
                self.state.pop(draft.key, None)
            elif draft.flags & STATE:
                self.state[draft.key] = StateEntry(seq, draft)
            if draft.event == DANMAKU:
                self._history.append(entry)
            elif draft.event == "live":
                self._notice_live(StateEntry(seq, draft))
            elif draft.event == "retract":
                self._forget(json.loads(entry.body)["ids"])
        self._log.extend(entries)
        self._trim(batch.at_ms)
        return entries

    def _notice_live(self, entry: StateEntry | None) -> None:
        if entry is not None:
            self.live = bool(json.loads(entry.draft.body(entry.seq)).get("on_air"))

    def _forget(self, ids: list[str]) -> None:
        """A retracted message is shown to nobody who comes later."""
        gone = set(ids)
        for entries in (self._log, self._history):
            kept = [entry for entry in entries if entry.draft.event != DANMAKU or entry.draft.key not in gone]
            entries.clear()
            entries.extend(kept)

    def _trim(self, now_ms: int) -> None:
        log, oldest_ms = self._log, now_ms - self._log_age_ms
        while log and (len(log) > self._log_events or log[0].at_ms < oldest_ms):
            self._floor = log.popleft().seq

    def since(self, epoch: str, seq: int, *, user_id: str = "", now_ms: int) -> list[TickPacket] | None:
        """Everything after `seq` for this person, or None when that cannot be said for certain."""
        entries = self.entries_since(epoch, seq, user_id=user_id, now_ms=now_ms)
        return None if entries is None else group_packets(entries)

    def entries_since(self, epoch: str, seq: int, *, user_id: str = "", now_ms: int) -> list[Entry] | None:
        """As `since`, not yet packed."""
        self._trim(now_ms)
        top = self.seq if epoch == self.epoch else self._former[1] if epoch == self._former[0] else -1
        if not self._floor <= seq <= top:
            return None
        entries: list[Entry] = []
        for entry in reversed(self._log):
            if entry.seq <= seq:
                break
            draft = entry.draft
            if not draft.flags & INTERNAL and draft.target in ("", user_id):
                entries.append(entry)
                if len(entries) > _MAX_REPLAY:
                    return None
        entries.reverse()
        return entries

    def knows_message(self, message_id: str) -> Entry | None:
        """A danmaku that is still in the log."""
        for entry in self._log:
            if entry.draft.event == DANMAKU and entry.draft.key == message_id:
                return entry
        return None

    def count(self, pulse: Pulse) -> list[bytes]:
        """Take counts; packets for what members have not been told yet. Conflated: only the latest is ever told."""
        self.online, self.peak, self.unique = pulse.online, pulse.peak, pulse.unique
        self.nodes = max(1, pulse.nodes)
        self.likes = max(self.likes, pulse.likes)
        packets = []
        if self.likes != self._told_likes:
            delta = self.likes - max(self._told_likes, 0) if self._told_likes >= 0 else 0
            packets.append(event_packet("likes", b'{"total":%d,"delta":%d}' % (self.likes, delta)))
            self._told_likes = self.likes
        if (self.online, self.peak) != (self._told_online, self._told_peak):
            packets.append(event_packet("online", b'{"count":%d,"peak":%d}' % (self.online, self.peak)))
            self._told_online, self._told_peak = self.online, self.peak
        if packets:
            self.touch()
        return packets

    def snapshot(self) -> bytes:
        """`welcome` without its end (seq, history, me): the same bytes for everybody until something changes."""
        if not self._snapshot:
            self._snapshot = b"".join(
                (
                    b'{"room":',
                    _json(self.name),
                    b',"title":',
                    _json(self.title),
                    b',"live":',
                    b"true" if self.live else b"false",
                    b',"epoch":',
                    _json(self.epoch),
                    b',"online":%d,"likes":%d,"card":' % (self.online, self.likes),
                    self._state_body("card"),
                    b',"pinned":',
                    self._state_body("pinned"),
                )
            )
        return self._snapshot

    def history(self) -> bytes:
        """The latest danmaku as a JSON list."""
        return b"[" + b",".join(entry.body for entry in self._history) + b"]"

    def _state_body(self, key: str) -> bytes:
        entry = self.state.get(key)
        return b"null" if entry is None else entry.draft.body(entry.seq)
