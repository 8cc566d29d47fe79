"""What waits for the next tick of a room, and which danmaku are shown when there are more than the room's budget.

Pure: values in, values out, time as an argument. Orders, cards and notices all pass and are conflated by key; danmaku
beyond the budget get a number but are shown only to their authors, chosen so that whoever said least lately goes first:
one person at a hundred a second takes one place, not ninety.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from streamd.cluster.bus import C, Draft

W = TypeVar("W")
_FORGET_MS: Final = 5_000
_MAX_WAITING: Final = 2_000


def encode_rest(payload: Mapping[str, object]) -> bytes:
    """A payload as a draft holds it: JSON without its opening brace. Raises ValueError for what JSON cannot hold."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()[1:]


class Waiting(NamedTuple, Generic[W]):
    """A draft and all who wait for its number: more than one when events of the same key were told as one."""

    draft: Draft
    waiters: tuple[W, ...]
    sender: str


class Plan(NamedTuple, Generic[W]):
    """A tick's drafts in their order, and the danmaku that get numbers after them and are not shown."""

    shown: list[Waiting[W]]
    unshown: list[Waiting[W]]

    def numbered(self, first: int) -> Iterator[tuple[W, int, bool]]:
        """Whoever waits, with the number that became theirs and whether it is shown; the batch begins at `first`."""
        for seq, waiting in enumerate((*self.shown, *self.unshown), first):
            for waiter in waiting.waiters:
                yield waiter, seq, seq < first + len(self.shown)


class Sampler:
    """A token bucket with a memory of who was shown lately."""

    def __init__(self) -> None:
        self._tokens_milli = 0
        self._filled_ms: int | None = None
        self._lately: dict[str, int] = {}
        self._halved_ms = 0

    def choose(self, senders: list[str], *, per_s: int, now_ms: int) -> set[int]:
        """Which of the messages, given by their senders in order of arrival, are shown."""
        capacity_milli = max(5, per_s // 2) * 1_000
        if self._filled_ms is None:
            self._tokens_milli, self._filled_ms = capacity_milli, now_ms
        self._tokens_milli = min(capacity_milli, self._tokens_milli + (now_ms - self._filled_ms) * per_s)
        self._filled_ms = now_ms
        if now_ms - self._halved_ms >= _FORGET_MS:
            self._lately = {sender: count // 2 for sender, count in self._lately.items() if count > 1}
            self._halved_ms = now_ms
        places = min(len(senders), self._tokens_milli // 1_000)
        self._tokens_milli -= places * 1_000
        lately = self._lately
        if places == len(senders):
            for sender in senders:
                lately[sender] = lately.get(sender, 0) + 1
            return set(range(len(senders)))
        return self._draw(senders, places)

    def _draw(self, senders: list[str], places: int) -> set[int]:
        lately = self._lately
        queues: dict[str, list[int]] = {}
        for index, sender in enumerate(senders):
            queues.setdefault(sender, []).append(index)
        heap = [(lately.get(sender, 0), indexes[0], sender) for sender, indexes in queues.items()]
        heapq.heapify(heap)
        chosen: set[int] = set()
        while heap and len(chosen) < places:
            count, index, sender = heapq.heappop(heap)
            chosen.add(index)
            lately[sender] = count + 1
            rest = queues[sender]
            rest.pop(0)
            if rest:
                heapq.heappush(heap, (count + 1, rest[0], sender))
        return chosen


class TickQueue(Generic[W]):
    """Drafts between two ticks."""

    def __init__(self) -> None:
        self._precious: list[Waiting[W]] = []
        self._danmaku: list[Waiting[W]] = []
        self._keyed: dict[tuple[str, str], tuple[int, dict[str, object]]] = {}
        self._sampler = Sampler()

    def __len__(self) -> int:
        return len(self._precious) + len(self._danmaku)

    @property
    def is_full(self) -> bool:
        """Danmaku beyond this are refused: the line does not keep up."""
        return len(self._danmaku) >= _MAX_WAITING

    def add_danmaku(self, draft: Draft, *, sender: str, waiter: W) -> None:
        """A message of the audience (class C, sampled) or of the staff (class B, always shown)."""
        (self._danmaku if draft.cls == C else self._precious).append(Waiting(draft, (waiter,), sender))

    def add_event(self, draft: Draft, payload: Mapping[str, object], *, waiter: W) -> None:
        """Anything else. The same event of the same key within one tick is told once, fields of the later over the
        earlier; both waiters get the same number."""
        place = (draft.event, draft.key)
        if draft.key and place in self._keyed:
            index, merged = self._keyed[place]
            merged.update(payload)
            draft = draft._replace(rest=encode_rest(merged))
            self._precious[index] = Waiting(draft, (*self._precious[index].waiters, waiter), "")
            return
        if draft.key:
            self._keyed[place] = (len(self._precious), dict(payload))
        self._precious.append(Waiting(draft, (waiter,), ""))

    def drain(self, *, shown_per_s: int, now_ms: int) -> Plan[W]:
        """Everything that waits, as the next tick: precious events in order of arrival, then danmaku in theirs."""
        danmaku = self._danmaku
        chosen = self._sampler.choose([w.sender for w in danmaku], per_s=shown_per_s, now_ms=now_ms) if danmaku else ()
        shown = self._precious + [w for index, w in enumerate(danmaku) if index in chosen]
        unshown = [w for index, w in enumerate(danmaku) if index not in chosen]
        self._precious, self._danmaku = [], []
        self._keyed.clear()
        return Plan(shown, unshown)
