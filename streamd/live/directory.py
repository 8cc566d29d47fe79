"""Which worker owns a stream.

A worker that seats a publisher claims the stream and is given an epoch, larger than any that was given for this room
before. Whoever acts on a stream for others (relays, playlists in shared storage) names the epoch, so that a worker
that lost its claim and does not know it yet is recognised as late ("fencing").

Here: the protocol, and the directory of a single worker. Its sibling for many workers is `shared_directory`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streamd.clock import Clock
from streamd.cluster.register import NO_NUMBERS, Numbers, Ownership


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right of one worker to put one room on air."""

    room: str
    worker: str
    epoch: int
    numbers: Numbers = NO_NUMBERS  # what its playlists may begin with, at least
    before: Ownership | None = None  # the other worker that owned it until now
    unheard: bool = False  # made while the register was away: nobody can learn of it there


class Directory(Protocol):
    """Claims of the worker that asks; a newer claim wins over an older one."""

    async def claim(self, room: str) -> Claim:
        """Own `room` from now on, with a larger epoch than ever before, also where this worker owns it already.

        Cancel-safe: yes; a claim whose caller was cancelled is superseded by the next one. Raises UnavailableError
        when the directory cannot be reached.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Own it no more. A claim that has been superseded is left alone. Cancel-safe: yes."""
        ...


class InProcessDirectory:
    """The directory of a node that is one worker. Holds nothing of rooms that are not claimed."""

    def __init__(self, *, worker: str, clock: Clock) -> None:
        self._worker = worker
        # The wall clock as a start makes epochs grow across restarts of the process without anything on disk.
        self._epoch = clock.utc_ms()
        self._claims: dict[str, Claim] = {}

    async def claim(self, room: str) -> Claim:
        self._epoch += 1
        claim = self._claims[room] = Claim(room=room, worker=self._worker, epoch=self._epoch)
        return claim

    async def release(self, claim: Claim) -> None:
        if self._claims.get(claim.room) == claim:
            del self._claims[claim.room]

    async def owner(self, room: str) -> Claim | None:
        """Who owns `room` now."""
        return self._claims.get(room)
