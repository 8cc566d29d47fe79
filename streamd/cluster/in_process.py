"""The bus of a single process: the same promises as Redis, kept in memory.

Memory is bounded: a log by count and age, identities and limits by age, visitors by a sketch of 16 KiB a room. Nothing
survives the process; the epoch says so to those who come back.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import log

from streamd.clock import Clock
from streamd.cluster.bus import (
    DROP,
    STATE,
    Admission,
    Batch,
    Draft,
    Pulse,
    PulseReport,
    RoomMemory,
    StateEntry,
    Verdict,
    gcra,
    pack_draft,
)

IDENT_TTL_MS = 600_000
_MAX_IDENTS = 200_000


class VisitorSketch:
    """HyperLogLog with 2^14 registers: how many different visitors, to about 0.8 percent (Flajolet et al., 2007)."""

    _BITS = 14

    def __init__(self) -> None:
        self._registers = bytearray(1 << self._BITS)

    def add(self, visitor: str) -> None:
        """Count a visitor, once however often."""
        value = int.from_bytes(blake2b(visitor.encode(), digest_size=8).digest(), "big")
        index = value & ((1 << self._BITS) - 1)
        rank = 64 - self._BITS - (value >> self._BITS).bit_length() + 1
        if rank > self._registers[index]:
            self._registers[index] = rank

    def count(self) -> int:
        """The estimate. Linear counting while registers are empty, as small rooms are most rooms."""
        size = 1 << self._BITS
        empty = self._registers.count(0)
        estimate = 0.7213 / (1 + 1.079 / size) * size * size / sum(2.0**-rank for rank in self._registers)
        if estimate <= 2.5 * size and empty:
            return round(size * log(size / empty))
        return round(estimate)


class _Room:
    __slots__ = (
        "batches",
        "epoch",
        "floor",
        "last_of_node",
        "likes",
        "nodes",
        "peak",
        "pulse_of_node",
        "seq",
        "sketch",
        "state",
        "unique",
    )

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.seq = 0
        self.floor = 0  # numbers above it are in the log
        self.batches: deque[Batch] = deque()
        self.state: dict[str, StateEntry] = {}
        self.last_of_node: dict[str, Batch] = {}
        self.pulse_of_node: dict[str, int] = {}
        self.nodes: dict[str, tuple[int, int]] = {}
        self.likes = self.peak = self.unique = 0
        self.sketch: VisitorSketch | None = None


class InProcessBus:
    """RoomBus for one process. Several gateways may share one, as nodes of a test share Redis."""

    def __init__(self, *, clock: Clock, log_events: int = 2_000, log_age_ms: int = 600_000) -> None:
        self._clock = clock
        self._log_events = log_events
        self._log_age_ms = log_age_ms
        self._rooms: dict[str, _Room] = {}
        self._listeners: dict[str, list[Callable[[Batch], None]]] = {}
        self._idents: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()
        self._tats: OrderedDict[tuple[str, str], int] = OrderedDict()

    def _room(self, name: str) -> _Room:
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = _Room(secrets.token_hex(6))
        return room

    async def append(
        self, room: str, drafts: Sequence[Draft], *, taken: int, batch_id: str, min_seq: int, at_ms: int
    ) -> Batch:
        """See RoomBus. Synchronous underneath: numbered and heard before it returns."""
        for draft in drafts:
            pack_draft(draft)  # the same limits as over a wire
        line = self._room(room)
        node, _, count = batch_id.rpartition(":")
        done = line.last_of_node.get(node)
        if done is not None and int(done.batch_id.rpartition(":")[2]) >= int(count):
            return done
        prev = max(line.seq, min_seq)
        batch = Batch(line.epoch, line.seq, prev + 1, taken, at_ms, batch_id, tuple(drafts))
        line.seq = batch.last
        line.last_of_node[node] = batch
        for offset, draft in enumerate(drafts):
            if draft.flags & DROP:
                line.state.pop(draft.key, None)
            elif draft.flags & STATE:
                line.state[draft.key] = StateEntry(batch.first + offset, draft)
        line.batches.append(batch)
        self._trim(line, at_ms)
        for deliver in self._listeners.get(room, ()):
            deliver(batch)
        return batch

    def _trim(self, line: _Room, now_ms: int) -> None:
        batches = line.batches
        while batches and (len(batches) > self._log_events or batches[0].at_ms < now_ms - self._log_age_ms):
            line.floor = batches.popleft().last

    async def replay(self, room: str, *, epoch: str, after_seq: int) -> tuple[Batch, ...] | None:
        """See RoomBus."""
        line = self._room(room)
        self._trim(line, self._clock.utc_ms())
        if epoch != line.epoch or after_seq < line.floor:
            return None
        return tuple(batch for batch in line.batches if batch.last > after_seq)

    async def recall(self, room: str) -> RoomMemory:
        """See RoomBus."""
        line = self._room(room)
        self._trim(line, self._clock.utc_ms())
        return RoomMemory(
            epoch=line.epoch,
            seq=line.seq,
            state=dict(line.state),
            batches=tuple(line.batches),
            likes=line.likes,
            peak=line.peak,
            unique=line.unique,
        )

    async def listen(self, room: str, deliver: Callable[[Batch], None]) -> None:
        """See RoomBus."""
        self._listeners.setdefault(room, []).append(deliver)

    async def unlisten(self, room: str, deliver: Callable[[Batch], None]) -> None:
        """See RoomBus."""
        left = [listener for listener in self._listeners.get(room, ()) if listener != deliver]
        if left:
            self._listeners[room] = left
        else:
            self._listeners.pop(room, None)

    async def pulse(self, room: str, report: PulseReport) -> Pulse:
        """See RoomBus."""
        line = self._room(room)
        if report.number > line.pulse_of_node.get(report.node, 0):
            line.pulse_of_node[report.node] = report.number
            line.likes += report.likes
            if report.visitors:
                sketch = line.sketch = line.sketch or VisitorSketch()
                for visitor in report.visitors:
                    sketch.add(visitor)
                line.unique = sketch.count()
        line.nodes[report.node] = (report.online, report.now_ms + report.ttl_ms)
        line.nodes = {node: seen for node, seen in line.nodes.items() if seen[1] > report.now_ms and seen[0]}
        online = sum(count for count, _ in line.nodes.values())
        line.peak = max(line.peak, online)
        return Pulse(line.epoch, line.seq, online, line.peak, line.likes, line.unique, len(line.nodes))

    async def admit(self, room: str, admissions: Sequence[Admission], *, now_ms: int) -> list[Verdict]:
        """See RoomBus."""
        self._forget(now_ms)
        return [self._judge(room, admission, now_ms) for admission in admissions]

    def _judge(self, room: str, admission: Admission, now_ms: int) -> Verdict:
        known = self._idents.get((room, admission.ident))
        if known is not None:
            return Verdict("again", seq=known[1])
        charged: list[tuple[tuple[str, str], int]] = []
        for limit in admission.limits:
            key = (room, limit.name)
            tat_ms, wait_ms = gcra(self._tats.get(key, 0), now_ms, limit)
            if wait_ms:
                return Verdict("limited", limit=limit.name, retry_after_ms=wait_ms)
            charged.append((key, tat_ms))
        for key, tat_ms in charged:
            self._tats[key] = tat_ms
            self._tats.move_to_end(key)
        self._idents[(room, admission.ident)] = (now_ms + IDENT_TTL_MS, 0)
        return Verdict("ok")

    def _forget(self, now_ms: int) -> None:
        idents, tats = self._idents, self._tats
        while idents and (len(idents) > _MAX_IDENTS or next(iter(idents.values()))[0] <= now_ms):
            idents.popitem(last=False)
        while tats and (len(tats) > _MAX_IDENTS or next(iter(tats.values())) <= now_ms):
            tats.popitem(last=False)

    async def settle(self, room: str, numbers: dict[str, int], *, now_ms: int) -> None:
        """See RoomBus."""
        for ident, seq in numbers.items():
            if seq:
                self._idents[(room, ident)] = (now_ms + IDENT_TTL_MS, seq)
            else:
                self._idents.pop((room, ident), None)

    def ready(self) -> bool:
        """Always: there is nothing between a process and itself."""
        return True

    def on_return(self, call: Callable[[], None]) -> None:
        """Never called: there are no breaks."""
