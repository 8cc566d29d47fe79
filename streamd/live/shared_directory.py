"""The directory of many workers: claims streams in the shared register, beats, and knows what the others own.

In: claims of this worker's hub, and once a second what it owns. Out: the table of all owners and workers; `on_lost` for
a stream that another worker took, `on_vanished` for one whose owner fell silent while it was on air.

While the register is away everybody goes on alone with the last table. Claims then get their epochs from the clock and
the last epoch known; when the register is back, the newer claim wins as always.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamd.clock import Clock
from streamd.cluster.register import Claimed, Holding, Numbers, Ownership, Register, WorkerCard
from streamd.errors import UnavailableError
from streamd.live.directory import Claim
from streamd.telemetry.log import Log

_MISSES_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """How fast news travel. A worker that dies is missed after `lease_ms`; a new owner is known at once to who asks."""

    lease_ms: int = 5_000
    beat_ms: int = 1_000
    miss_ms: int = 200  # a room that nobody owned so lately is not asked for again
    settle_ms: int = 2_500  # after the register was away: what others have not declared yet still holds
    bereft_ms: int = 3_000  # a programme that has just lost its owner is waited for: its encoder is coming back


class SharedDirectory:
    """See the module's promise. Implements `Directory`. `holdings` gives what this worker's hub has.

    `numbers` says where a room's playlists stand here; `on_lost` is told the epoch of the new owner.
    """

    def __init__(
        self,
        *,
        register: Register,
        card: WorkerCard,
        clock: Clock,
        log: Log,
        holdings: Callable[[], Sequence[Holding]],
        numbers: Callable[[str], Numbers],
        on_lost: Callable[[str, int], None],
        on_vanished: Callable[[str], None],
        settings: DirectorySettings | None = None,
    ) -> None:
        self._register = register
        self._card = card
        self._clock = clock
        self._log = log
        self._holdings = holdings
        self._numbers = numbers
        self._on_lost = on_lost
        self._on_vanished = on_vanished
        self._settings = settings or DirectorySettings()
        self._owners: dict[str, Ownership] = {}
        self._workers: dict[str, WorkerCard] = {}
        self._misses: OrderedDict[str, int] = OrderedDict()
        self._bereft: dict[str, int] = {}  # rooms that another worker owned, and when it was found to do so no more
        self._last_epoch = 0
        self._is_away = False
        self._settled_ms = 0
        self.secret = secrets.token_bytes(32)

    @property
    def worker(self) -> str:
        """This one's name."""
        return self._card.worker

    # --- Directory ---

    async def claim(self, room: str) -> Claim:
        """See Directory. While the register is away the claim is made without it, so never UnavailableError."""
        unheard = False
        try:
            claimed = await self._register.claim(
                room, self.worker, ttl_ms=self._settings.lease_ms, above=self._last_epoch
            )
        except UnavailableError:
            unheard = True
            before = self._owners.get(room)
            last_epoch = max(self._last_epoch, before.epoch if before else 0)
            claimed = Claimed(max(self._clock.utc_ms(), last_epoch + 1), Numbers(), before)
            self._log.warning("directory.claimed_alone", room=room, epoch=claimed.epoch)
        self._last_epoch = claimed.epoch
        self._owners[room] = Ownership(room, self.worker, claimed.epoch, False)
        before = claimed.before if claimed.before and claimed.before.worker != self.worker else None
        return Claim(
            room=room,
            worker=self.worker,
            epoch=claimed.epoch,
            numbers=claimed.numbers,
            before=before,
            unheard=unheard,
        )

    async def release(self, claim: Claim) -> None:
        """See Directory."""
        owner = self._owners.get(claim.room)
        if owner is not None and owner.epoch == claim.epoch:
            del self._owners[claim.room]
        await self._register.release(claim.room, epoch=claim.epoch, numbers=self._numbers(claim.room))

    # --- what is known of others ---

    async def find(self, room: str, *, afresh: bool = False) -> Ownership | None:
        """The other worker that owns `room`; None where nobody does, or this one. Cancel-safe: yes.

        From the table where it stands there, unless `afresh`; else the register is asked, not too often.
        """
        known = self._owners.get(room)
        if known is None or afresh:
            known = await self._ask(room, known)
        return known if known is not None and known.worker != self.worker else None

    async def _ask(self, room: str, known: Ownership | None) -> Ownership | None:
        now_ms, misses = self._clock.now_ms(), self._misses
        if now_ms - misses.get(room, -self._settings.miss_ms) < self._settings.miss_ms:
            return known
        try:
            found = await self._register.owner(room)
        except UnavailableError:
            return known
        if found is None:
            self._note_bereft(self._owners.pop(room, None))
            misses[room] = now_ms
            if len(misses) > _MISSES_REMEMBERED:
                misses.popitem(last=False)
        else:
            misses.pop(room, None)
            self._owners[room] = found
        return found

    async def find_next(self, room: str) -> Ownership | None:
        """As `find`, but a programme whose owner has just gone, with its encoder on the way to another, is waited for.

        For who comes then: told that nothing is on air, players give up. Cancel-safe: yes.
        """
        while True:
            found = await self.find(room)
            if found is not None or room in self._owners:
                return found
            if self._clock.now_ms() - self._bereft.get(room, -self._settings.bereft_ms) >= self._settings.bereft_ms:
                return None
            await asyncio.sleep(self._settings.miss_ms / 1_000)

    def _note_bereft(self, owner: Ownership | None) -> None:
        if owner is not None and owner.worker != self.worker:
            self._bereft[owner.room] = self._clock.now_ms()

    def hear(self, owner: Ownership) -> None:
        """Another worker says that it owns a room now: true unless we know better."""
        known = self._owners.get(owner.room)
        if known is None or known.epoch < owner.epoch:
            self._owners[owner.room] = owner

    def others(self) -> list[str]:
        """All other workers, by the last table."""
        return [worker for worker in self._workers if worker != self.worker]

    def known(self, room: str) -> Ownership | None:
        """Who owns it by the last table, this worker included."""
        return self._owners.get(room)

    def on_air(self) -> set[str]:
        """Rooms with an encoder on other workers, by the last table."""
        return {room for room, owner in self._owners.items() if owner.is_on_air and owner.worker != self.worker}

    def address(self, worker: str) -> str | None:
        """Where a worker is reached."""
        card = self._workers.get(worker)
        return card.address if card is not None else None

    def neighbours(self) -> list[WorkerCard]:
        """The other workers of this node."""
        mine = self._card
        return [card for card in self._workers.values() if card.node == mine.node and card.worker != mine.worker]

    # --- time ---

    async def run(self) -> None:
        """Beat for ever. Cancel-safe: yes."""
        while True:
            await self.beat()
            await asyncio.sleep(self._settings.beat_ms / 1_000)

    async def beat(self) -> None:
        """Declare, and take the table."""
        holdings, settings = self._holdings(), self._settings
        self._last_epoch = max([self._last_epoch, *(holding.epoch for holding in holdings)])
        try:
            table = await self._register.beat(self._card, holdings, ttl_ms=settings.lease_ms, secret=self.secret)
        except UnavailableError as error:
            if not self._is_away:
                self._is_away = True
                self._log.warning("directory.away", code=error.code, reason=error.one_line())
            return
        now_ms = self._clock.now_ms()
        if self._is_away:
            self._is_away = False
            self._settled_ms = now_ms + settings.settle_ms
            self._log.info("directory.back")
        unsettled = now_ms < self._settled_ms
        before = self._owners
        self._owners = {**before, **table.owners} if unsettled else table.owners
        self._bereft = {room: at for room, at in self._bereft.items() if now_ms - at < settings.bereft_ms}
        for room in before.keys() - self._owners.keys():
            self._note_bereft(before[room])
        self._workers = {**self._workers, **table.workers} if unsettled else table.workers
        self.secret = table.secret
        for room in table.lost:
            owner = table.owners.get(room)
            if owner is not None and owner.worker != self.worker:
                self._on_lost(room, owner.epoch)
        for room in table.vanished:
            if room not in table.owners and not unsettled:
                self._on_vanished(room)

    async def leave(self) -> None:
        """Be reached no more: others forget this worker at their next beat. Cancel-safe: yes."""
        try:
            await self._register.leave(self.worker)
        except UnavailableError:
            self._log.info("directory.left_alone")  # the entry runs out by itself
