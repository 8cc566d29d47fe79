"""Why a peer is not read from just now. Several reasons may hold at once; reading goes on when the last one is gone."""

from __future__ import annotations

import asyncio
from enum import IntFlag


class Why(IntFlag):
    """The reasons."""

    HELD = 1  # it waits for a decision, and has sent enough meanwhile
    BACKLOG = 2  # it does not read our answers
    TURN = 4  # it has had its turn of this round of the loop


class ReadHolds:
    """Of one transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._reasons = Why(0)

    def hold(self, why: Why) -> None:
        """Stop reading."""
        if not self._reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self._reasons |= why

    def release(self, why: Why) -> None:
        """One reason less."""
        if not self._reasons:
            return
        self._reasons &= ~why
        if not self._reasons and not self._transport.is_closing():
            self._transport.resume_reading()

    def release_all(self) -> None:
        """Read on, whatever there was."""
        self.release(self._reasons)
