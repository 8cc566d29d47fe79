"""One room's line on this node: from drafts to numbered ticks in the same order as on every other node.

Drafts wait for a tick (at once when the room is quiet, 50 to 200 ms when it is busy), the bus numbers them, and what
the bus says, by answer or by publication, is applied in the order of the numbers, whatever order it was heard in. What
other nodes say in a busy room is gathered for as long, unless it is of class A: members are written to once a tick.
Something missing is fetched from the log. While the bus is away the line goes on alone under an epoch of its own; when
it is back, what was said here is handed in, what was said elsewhere is fetched, and members learn their new position.

Nothing here knows connections beyond `Audience`, or what an event means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final, Protocol

from danmaku.alone import AloneSpell, with_whole_log
from danmaku.fanout import Audience
from danmaku.pace import Pace, Rate
from danmaku.room import DANMAKU, Entry, Room, Tick, TickPacket, group_packets
from danmaku.tick import Plan, TickQueue
from streamd.clock import Clock
from streamd.cluster.bus import DROP, INTERNAL, STATE, A, Batch, D, Draft, Pulse, RoomBus, RoomMemory
from streamd.errors import UnavailableError

# Called with the number a draft got and whether it is shown to the room.
Waiter = Callable[[int, bool], None]
Spawn = Callable[[Coroutine[None, None, None]], object]

_APPEND_TIMEOUT_S: Final = 1.0
_SLACK_MS: Final = 30
_REPAIR_AFTER_S: Final = 0.1
_SKEW_MS: Final = 5_000  # of the nodes' clocks
_MAX_APPLIED: Final = 16


class LineOwner(Protocol):
    """What the line tells its node."""

    def on_internal(self, line: Line, entry: Entry) -> None:
        """An event for nodes was applied."""
        ...

    def on_state(self, line: Line, draft: Draft) -> None:
        """A state that members see has another value, or none any more (DROP); they are told right now."""
        ...

    def on_position(self, line: Line, *, after_seq: int, recovered: bool) -> None:
        """Members have a new (epoch, seq). When `recovered`, what they miss after `after_seq` follows."""
        ...


class Line:
    """One active room on this node."""

    def __init__(
        self,
        room: Room,
        *,
        bus: RoomBus,
        clock: Clock,
        spawn: Spawn,
        next_batch_id: Callable[[], str],
        owner: LineOwner,
        pace: Pace,
    ) -> None:
        self.room = room
        self.audience = Audience(now_ms=clock.now_ms, spawn=spawn)
        self.shown_per_s = 40
        self.is_alone = False
        self.repairs = 0
        self._bus = bus
        self._clock = clock
        self._spawn = spawn
        self._next_batch_id = next_batch_id
        self._owner = owner
        self._pace = pace
        self._queue: TickQueue[Waiter] = TickQueue()
        self._is_ticking = False
        self._hurry: asyncio.Future[None] | None = None
        self._has_precious = False
        self._ticked_ms = -1_000_000
        self._precious_ms = -1_000_000
        self._rate = Rate(now_ms=clock.now_ms())
        self._own_id = ""  # of the latest batch from here
        self._told_ms = -1_000_000
        self._heard_seq = 0
        self._gathering: asyncio.TimerHandle | None = None
        self._is_open = False
        self._early: dict[int, Batch] = {}  # by the number before them
        self._applied: dict[str, Batch] = {}  # the latest, by id
        self._is_repairing = False
        self._is_rejoining = False
        self._behind_pulses = 0
        self._told_from_ms = 0  # what was said from here on may be news to members here
        self._alone = AloneSpell(room, bus=bus, clock=clock, next_batch_id=next_batch_id)

    async def open(self) -> None:
        """Begin to hear the room. Goes on alone when the bus is away. Cancel-safe: no; close after."""
        self._told_from_ms = self._clock.utc_ms()
        try:
            await self._bus.listen(self.room.name, self._hear)
            self._load(await self._bus.recall(self.room.name))
        except UnavailableError:
            self._load(RoomMemory(epoch="", seq=0, state={}, batches=()))
            self._go_alone()
        self._is_open = True
        self._offer_early()

    async def close(self) -> None:
        """Hear nothing more. Cancel-safe: no."""
        self._is_open = False
        self._stop_gathering()
        try:
            await self._bus.unlisten(self.room.name, self._hear)
        except UnavailableError:
            return  # nothing is heard from a bus that is away

    def _load(self, memory: RoomMemory) -> None:
        self.room.load(memory)
        self._early.clear()
        for state in memory.state.values():
            self._owner.on_internal(self, Entry(state.seq, 0, state.draft, state.draft.body(state.seq)))

    # -- what this node says -------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """More danmaku wait than can be told."""
        return self._queue.is_full

    @property
    def is_busy(self) -> bool:
        """Something waits to be told."""
        return self._is_ticking or self._alone.has_said

    def submit_danmaku(self, draft: Draft, *, sender: str, waiter: Waiter) -> None:
        """A message that was let in; `waiter` is called behind its delivery."""
        self._queue.add_danmaku(draft, sender=sender, waiter=waiter)
        self._wake(precious=False)

    def submit_event(self, draft: Draft, payload: Mapping[str, object], *, waiter: Waiter) -> None:
        """Any other event."""
        self._queue.add_event(draft, payload, waiter=waiter)
        self._wake(precious=draft.cls == A)

    def _wake(self, *, precious: bool) -> None:
        self._rate.count(1)
        if precious:
            self._has_precious = True
            if self._hurry is not None and not self._hurry.done():
                self._hurry.set_result(None)
        if not self._is_ticking:
            self._is_ticking = True
            self._spawn(self._run_ticks())

    async def _run_ticks(self) -> None:
        try:
            while len(self._queue):
                await self._rest()
                await self._tick()
        finally:
            self._is_ticking = False

    async def _rest(self) -> None:
        """Wait for company, unless the room is quiet; class A cuts it short."""
        while True:
            now_ms = self._clock.now_ms()
            members = len(self.audience)
            wait_ms = self._ticked_ms + self._pace.interval_ms(self._rate.per_s(now_ms), members) - now_ms
            if self._has_precious:
                wait_ms = min(wait_ms, self._precious_ms + self._pace.precious_interval_ms(members) - now_ms)
            if wait_ms <= 0:
                return
            loop = asyncio.get_running_loop()
            self._hurry = hurry = loop.create_future()
            timer = loop.call_later(wait_ms / 1_000, _finish, hurry)
            try:
                await hurry
            finally:
                timer.cancel()
                self._hurry = None

    async def _tick(self) -> None:
        now_ms = self._clock.now_ms()
        self._ticked_ms = now_ms
        if self._has_precious:
            self._precious_ms = now_ms
            self._has_precious = False
        share = max(1, self.shown_per_s // self.room.nodes)
        plan = self._queue.drain(shown_per_s=share, now_ms=now_ms)
        drafts = tuple(waiting.draft for waiting in plan.shown)
        batch = await self._append(drafts, taken=len(drafts) + len(plan.unshown))
        self._offer(batch)
        if batch.epoch == self.room.epoch and batch.last > self.room.seq:
            await self._repair()
        self.audience.then(lambda: _answer(plan, batch.first))

    async def _append(self, drafts: tuple[Draft, ...], *, taken: int) -> Batch:
        batch_id, at_ms = self._next_batch_id(), self._clock.utc_ms()
        self._own_id = batch_id
        if not self.is_alone:
            try:
                async with asyncio.timeout(_APPEND_TIMEOUT_S):
                    return await self._bus.append(
                        self.room.name, drafts, taken=taken, batch_id=batch_id, min_seq=0, at_ms=at_ms
                    )
            except (UnavailableError, TimeoutError):
                heard = self._applied.get(batch_id)
                if heard is not None:
                    return heard  # the answer was lost, the publication was not
                # It may have been numbered all the same: the same id is handed in again on return.
                if not self.is_alone:
                    self._go_alone()
                    self._owner.on_position(self, after_seq=self.room.seq, recovered=True)
        room = self.room
        batch = Batch(room.epoch, room.seq, room.seq + 1, taken, at_ms, batch_id, drafts)
        self._alone.said(batch)
        return batch

    # -- what all nodes say --------------------------------------------------------------------------------------

    def _hear(self, batch: Batch) -> None:
        if not self._is_open:
            self._early[batch.prev] = batch
        elif not self.is_alone and (batch.batch_id == self._own_id or not self._gather(batch)):
            self._offer(batch)

    def _gather(self, batch: Batch) -> bool:
        """Let it wait for others, so that members are written to once an interval however many nodes speak; or not."""
        room = self.room
        self._rate.count(batch.taken)
        if batch.epoch != room.epoch or batch.last <= room.seq or any(draft.cls == A for draft in batch.drafts):
            return False
        now_ms = self._clock.now_ms()
        interval_ms = self._pace.interval_ms(self._rate.per_s(now_ms), len(self.audience))
        wait_ms = self._told_ms + interval_ms - now_ms
        if wait_ms <= 0:
            return False
        self._early[batch.prev] = batch
        self._heard_seq = max(self._heard_seq, batch.last)
        if self._gathering is None:
            # A little more: where this node speaks as well, its own tick takes along what was gathered.
            self._gathering = asyncio.get_running_loop().call_later((wait_ms + _SLACK_MS) / 1_000, self._offer_early)
        return True

    def _stop_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _offer(self, batch: Batch) -> None:
        room = self.room
        if batch.epoch != room.epoch:
            self._repair_soon()
        elif batch.last > room.seq:
            self._early[batch.prev] = batch
            self._offer_early()

    def _offer_early(self) -> None:
        room, early = self.room, self._early
        self._stop_gathering()
        ticks: list[Tick] = []
        while (batch := early.pop(room.seq, None)) is not None:
            if batch.epoch != room.epoch:
                continue
            tick = room.apply(batch)
            self._applied[batch.batch_id] = batch
            self._told_from_ms = max(self._told_from_ms, batch.at_ms - _SKEW_MS)
            if len(self._applied) > _MAX_APPLIED:
                del self._applied[next(iter(self._applied))]
            if not self.is_alone and self._alone.was_said_here(batch):
                continue  # members here heard it when it was said
            ticks.append(tick)
            states = [each for each in batch.drafts if each.flags & (STATE | DROP) and not each.flags & INTERNAL]
            if tick.personal or tick.internal or states:
                self._tell(ticks, states)
                ticks = []
        self._tell(ticks)
        if early:
            for prev in [prev for prev, batch in early.items() if batch.last <= room.seq]:
                del early[prev]
            if early:
                self._repair_soon()

    def _tell(self, ticks: list[Tick], states: Sequence[Draft] = ()) -> None:
        """In one write. Only the last of them may hold what is for one person or for the node, and the states."""
        if not ticks:
            return
        for personal in ticks[-1].personal:
            for member in self.audience.members():
                if member.identity.id == personal.user_id:
                    self.audience.send(member, personal.packet)
        packets = [packet for tick in ticks for packet in tick.packets]
        if packets:
            self._told_ms = self._clock.now_ms()
            self.audience.deliver(packets, first=ticks[0].first, last=ticks[-1].last)
        for draft in states:
            self._owner.on_state(self, draft)
        # Told first, then done: who is banned hears why before the connection closes.
        for entry in ticks[-1].internal:
            self._owner.on_internal(self, entry)

    def _repair_soon(self) -> None:
        if not self._is_repairing and not self.is_alone and self._is_open:
            self._is_repairing = True
            self._spawn(self._repair_later())

    async def _repair_later(self) -> None:
        try:
            await asyncio.sleep(_REPAIR_AFTER_S)
            await self._repair()
        finally:
            self._is_repairing = False

    async def _repair(self) -> None:
        """Fetch what was missed. Cancel-safe: yes."""
        if self.is_alone or not self._is_open:
            return
        room = self.room
        try:
            batches = await self._bus.replay(room.name, epoch=room.epoch, after_seq=room.seq)
            if batches is None:
                memory = await self._bus.recall(room.name)
                self._begin_again(await with_whole_log(self._bus, room.name, memory))
                return
        except UnavailableError:
            return  # the return of the bus repairs
        self.repairs += 1
        for batch in batches:
            self._offer(batch)

    def take_pulse(self, pulse: Pulse) -> None:
        """Counts over all nodes; also how a node notices that it is deaf."""
        packets = self.room.count(pulse)
        if packets:
            self.tell_counts(packets)
        if self.is_alone:
            return
        is_behind = pulse.epoch != self.room.epoch or pulse.seq > max(self.room.seq, self._heard_seq)
        self._behind_pulses = self._behind_pulses + 1 if is_behind else 0
        if self._behind_pulses >= 2:
            self._repair_soon()

    def tell_counts(self, packets: list[bytes]) -> None:
        """Likes and online, class D."""
        seq = self.room.seq
        self.audience.deliver([TickPacket(D, packet, 1) for packet in packets], first=seq, last=seq)

    # -- alone and back ------------------------------------------------------------------------------------------

    def _go_alone(self) -> None:
        self.is_alone = True
        self._early.clear()
        self._alone.begin()

    def rejoin_soon(self) -> None:
        """The bus is back: fetch and hand in what was missed. Idempotent while it is under way."""
        if not self._is_rejoining and self._is_open:
            self._is_rejoining = True
            self._spawn(self._rejoin())

    async def _rejoin(self) -> None:
        try:
            if self.is_alone:
                await self._come_back()
            else:
                await self._repair()
        finally:
            self._is_rejoining = False

    async def _come_back(self) -> None:
        try:
            found = await self._alone.return_to_others()
        except UnavailableError:
            return
        # From here to the end nothing waits: members see one step from the lonely line to the shared one.
        self.is_alone = False
        if found.batches is None:
            self._begin_again(found.memory)
        else:
            self._load(found.memory)
            self._owner.on_position(self, after_seq=found.after_seq, recovered=True)
            self._tell_late(self._alone.told_elsewhere(found.batches))
        self._alone.end()

    def _begin_again(self, memory: RoomMemory) -> None:
        """The bus cannot say what was missed: it forgot, or it was too much. Members see the room as it stands.

        What is not seen there, they are told: facts that others handed in and nobody here has heard.
        """
        after_seq, from_ms = self.room.seq, self._told_from_ms
        self._load(memory)
        self._owner.on_position(self, after_seq=after_seq, recovered=False)
        news = (each for each in memory.batches if each.at_ms > from_ms and each.batch_id not in self._applied)
        self._tell_late([each for each in self._alone.told_elsewhere(news) if not _is_in_welcome(each.draft)])

    def _tell_late(self, entries: list[Entry]) -> None:
        if entries:
            self.audience.deliver(group_packets(entries), first=entries[0].seq, last=entries[-1].seq)


def _is_in_welcome(draft: Draft) -> bool:
    return draft.event == DANMAKU or bool(draft.flags & (STATE | DROP))


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _answer(plan: Plan[Waiter], first: int) -> None:
    for waiter, seq, is_shown in plan.numbered(first):
        waiter(seq, is_shown)
