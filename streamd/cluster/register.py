"""Which worker owns which stream, and where workers are reached: the values and the protocol.

Every worker beats once a second: it says where it is reached and which streams it owns, and is told the whole table.
Ownership is a lease with an epoch that only grows. A claim is never refused, because who claims has let an encoder in
already (`streamd.live.gate` decides about that); the former owner learns at its next beat that it is none any more.

A room's numbers (of segments and of discontinuities) outlive its owner here, so that the next one goes on above them
whatever its clock says; and so does the rhythm of its frames, so that the next one need not wait to see it.

The table is sent whole: made for thousands of streams and hundreds of workers, not for millions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol


class Numbers(NamedTuple):
    """What the next programme of a room may begin with, at least, and what its packager need not learn anew."""

    media: int = 0
    discontinuity: int = 0
    cadence: str = ""  # as the packager puts it into words; no field may hold a space


NO_NUMBERS: Final = Numbers()


class Holding(NamedTuple):
    """A stream as its owner declares it."""

    room: str
    epoch: int
    is_on_air: bool
    numbers: Numbers


class Ownership(NamedTuple):
    """Whose a stream is."""

    room: str
    worker: str
    epoch: int
    is_on_air: bool


class WorkerCard(NamedTuple):
    """Where a worker is reached. No field may hold a space."""

    worker: str  # never used twice
    node: str  # the workers of one supervisor share it
    slot: int  # its place among them; a successor has the same
    address: str  # host:port of its internal listener


class Claimed(NamedTuple):
    """The answer to a claim. `before`: who owned the stream until now, dead or alive; None: nobody."""

    epoch: int
    numbers: Numbers
    before: Ownership | None


class Table(NamedTuple):
    """All that is known, and what has changed for the worker that asks."""

    owners: dict[str, Ownership]
    workers: dict[str, WorkerCard]
    lost: tuple[str, ...]  # declared by this worker, and owned by another one
    vanished: tuple[str, ...]  # were on air, and their owner fell silent: told to one worker, once
    secret: bytes  # what workers know each other by


class Register(Protocol):
    """Every call may raise UnavailableError."""

    async def claim(self, room: str, worker: str, *, ttl_ms: int, above: int = 0) -> Claimed:
        """Own `room` from now on, with an epoch above all earlier ones, above `above`, and above the clock's.

        Cancel-safe: a claim whose caller was cancelled is superseded by the next one, or runs out.
        """
        ...

    async def beat(self, card: WorkerCard, holdings: Sequence[Holding], *, ttl_ms: int, secret: bytes) -> Table:
        """Be there for another `ttl_ms`, and go on owning. `secret` is used where there is none. Cancel-safe: yes."""
        ...

    async def release(self, room: str, *, epoch: int, numbers: Numbers) -> None:
        """Own it no more, if this epoch still does. Cancel-safe: yes."""
        ...

    async def owner(self, room: str) -> Ownership | None:
        """Who owns `room` now. Cancel-safe: yes."""
        ...

    async def leave(self, worker: str) -> None:
        """Be reached no more. Cancel-safe: yes."""
        ...
