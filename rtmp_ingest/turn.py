"""What one publisher has sent since its last turn of the round (`streamd.rounds`). Bounded by whoever feeds it."""

from __future__ import annotations

from collections.abc import Callable

from streamd.rounds import Rounds


class Turn:
    """`handle` is given what came in one piece, and must not raise."""

    __slots__ = ("_bytes", "_handle", "_rounds", "_waiting")

    def __init__(self, rounds: Rounds, handle: Callable[[bytes], None]) -> None:
        self._rounds = rounds
        self._handle = handle
        self._waiting: list[bytes] = []
        self._bytes = 0

    def add(self, data: bytes) -> int:
        """Take bytes in. How many wait now."""
        if not self._waiting:
            self._rounds.join(self.take)
        self._waiting.append(data)
        self._bytes += len(data)
        return self._bytes

    def take(self) -> None:
        """Handle what waits, now: the round has come, or the connection ends."""
        waiting = self._waiting
        if waiting:
            self._waiting = []
            self._bytes = 0
            self._handle(waiting[0] if len(waiting) == 1 else b"".join(waiting))
