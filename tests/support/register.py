"""A register of workers in memory, with a fake clock; it can be away."""

from __future__ import annotations

from collections.abc import Sequence

from streamd.cluster.register import Claimed, Holding, Numbers, Ownership, Table, WorkerCard
from streamd.errors import UnavailableError
from tests.support.clock import FakeClock


class PaperRegister:
    """Implements `Register`."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.away = False
        self.asked = 0
        self.owners: dict[str, tuple[Ownership, int]] = {}
        self.workers: dict[str, tuple[WorkerCard, int]] = {}
        self.numbers: dict[str, Numbers] = {}
        self.epoch = 0
        self.secret = b""

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("the register is away")

    async def claim(self, room: str, worker: str, *, ttl_ms: int, above: int = 0) -> Claimed:
        self._answer()
        self.epoch = max(self.epoch, above) + 1
        before = self.owners.get(room)
        self.owners[room] = Ownership(room, worker, self.epoch, False), self.clock.now_ms() + ttl_ms
        return Claimed(self.epoch, self.numbers.get(room, Numbers()), before[0] if before else None)

    async def beat(self, card: WorkerCard, holdings: Sequence[Holding], *, ttl_ms: int, secret: bytes) -> Table:
        self._answer()
        now_ms = self.clock.now_ms()
        self.secret = self.secret or secret
        self.workers[card.worker] = card, now_ms + ttl_ms
        lost = []
        for room, epoch, is_on_air, numbers in holdings:
            held = self.owners.get(room)
            if held is not None and held[0].epoch > epoch:
                lost.append(room)
                continue
            self.owners[room] = Ownership(room, card.worker, epoch, is_on_air), now_ms + ttl_ms
            self.numbers[room] = numbers
        dead = [room for room, (_, until_ms) in self.owners.items() if until_ms <= now_ms]
        vanished = [room for room in dead if self.owners.pop(room)[0].is_on_air]
        return Table(
            owners={room: owner for room, (owner, _) in self.owners.items()},
            workers={name: known for name, (known, until_ms) in self.workers.items() if until_ms > now_ms},
            lost=tuple(lost),
            vanished=tuple(vanished),
            secret=self.secret,
        )

    async def release(self, room: str, *, epoch: int, numbers: Numbers) -> None:
        self._answer()
        held = self.owners.get(room)
        if held is not None and held[0].epoch == epoch:
            del self.owners[room]
            self.numbers[room] = numbers

    async def owner(self, room: str) -> Ownership | None:
        self.asked += 1
        self._answer()
        held = self.owners.get(room)
        return held[0] if held is not None and held[1] > self.clock.now_ms() else None

    async def leave(self, worker: str) -> None:
        self._answer()
        self.workers.pop(worker, None)
