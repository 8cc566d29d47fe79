"""What a room's line does without the others: it goes on under an epoch of its own, and comes back with what was said.

While the bus is away members here go on talking; what is said is kept, in order and bounded, under the batch ids it was
first handed in by, so that what the bus had taken after all is not told twice. On the return it is handed in, what was
said elsewhere meanwhile is fetched, and a bus that lost its memory is told the state that this node knows.

Not here: when that happens, and what members are told of it (`danmaku.sequencer`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from danmaku.room import Entry, Room
from streamd.clock import Clock
from streamd.cluster.bus import INTERNAL, STATE, B, Batch, RoomBus, RoomMemory

# What the audience says ends at the first bound, what a show says at the second: eight minutes of twenty in a second.
_MAX_BATCHES: Final = 1_000
_MAX_PRECIOUS: Final = 10_000


class Found(NamedTuple):
    """The shared line from `after_seq` on; `batches` is None when its log does not reach back that far."""

    after_seq: int
    batches: tuple[Batch, ...] | None
    memory: RoomMemory


class AloneSpell:
    """One room's time without the bus, and its end. The room keeps its numbers and gets another epoch."""

    def __init__(self, room: Room, *, bus: RoomBus, clock: Clock, next_batch_id: Callable[[], str]) -> None:
        self._room = room
        self._bus = bus
        self._clock = clock
        self._next_batch_id = next_batch_id
        self._left = ("", 0)  # where the shared line was left
        self._batches: list[Batch] = []
        self._ids: set[str] = set()

    def begin(self) -> None:
        """The bus is away."""
        self._left = (self._room.epoch, self._room.seq)
        self._batches = []
        self._room.rename(f"alone-{secrets.token_hex(4)}")

    def said(self, batch: Batch) -> None:
        """Members here were told this. Beyond a bound it is theirs alone."""
        is_precious = any(draft.cls <= B for draft in batch.drafts)
        if len(self._batches) < (_MAX_PRECIOUS if is_precious else _MAX_BATCHES):
            self._batches.append(batch)
            self._ids.add(batch.batch_id)

    @property
    def has_said(self) -> bool:
        """Something waits to be handed in."""
        return bool(self._batches)

    def was_said_here(self, batch: Batch) -> bool:
        """Members here heard it when it was said."""
        return batch.batch_id in self._ids

    def told_elsewhere(self, batches: Iterable[Batch]) -> list[Entry]:
        """What members here have missed of these, in order."""
        return [
            Entry(batch.first + offset, batch.at_ms, draft, draft.body(batch.first + offset))
            for batch in batches
            if batch.batch_id not in self._ids
            for offset, draft in enumerate(batch.drafts)
            if not draft.flags & INTERNAL and not draft.target
        ]

    def end(self) -> None:
        """Members know their new position."""
        self._ids.clear()

    async def return_to_others(self) -> Found:
        """Hand in, fetch, and do so again while something was said meanwhile. Raises UnavailableError; try again then.

        Cancel-safe: yes, the batch ids see to it.
        """
        epoch, seq = self._left
        while True:
            await self._hand_in()
            batches = await self._bus.replay(self._room.name, epoch=epoch, after_seq=seq) if epoch else None
            memory = await self._bus.recall(self._room.name)
            if batches is None:
                memory = await with_whole_log(self._bus, self._room.name, await self._restore_state(memory))
            if not self._batches:
                # Batches that came between the two answers are in the memory's log, which is the later one.
                if batches is not None and memory.epoch == epoch:
                    known = batches[-1].last if batches else seq
                    batches += tuple(batch for batch in memory.batches if batch.prev >= known)
                return Found(seq, batches, memory)

    async def _hand_in(self) -> None:
        while self._batches:
            batch = self._batches[0]
            await self._bus.append(
                self._room.name,
                batch.drafts,
                taken=batch.taken,
                batch_id=batch.batch_id,
                min_seq=self._room.seq,
                at_ms=batch.at_ms,
            )
            self._batches.pop(0)

    async def _restore_state(self, memory: RoomMemory) -> RoomMemory:
        """A bus that lost its memory is told the state that this node knows."""
        lost = [entry.draft for key, entry in self._room.state.items() if key not in memory.state]
        if not lost:
            return memory
        await self._bus.append(
            self._room.name,
            [draft for draft in lost if draft.flags & STATE],
            taken=len(lost),
            batch_id=self._next_batch_id(),
            min_seq=self._room.seq,
            at_ms=self._clock.utc_ms(),
        )
        return await self._bus.recall(self._room.name)


async def with_whole_log(bus: RoomBus, room: str, memory: RoomMemory) -> RoomMemory:
    """A memory holds the log's tail; here all of it, where it reaches back to its beginning.

    So it does after the bus forgot everything, when there may be more in it than a tail. Raises UnavailableError.
    """
    whole = await bus.replay(room, epoch=memory.epoch, after_seq=0)
    if whole is None:
        return memory
    # What was said since the memory was read is heard as usual.
    return replace(memory, batches=tuple(batch for batch in whole if batch.last <= memory.seq))
