"""The two clocks, behind one protocol, so that a test can own the time.

`now_ms` never goes back and is for intervals; `utc_ms` is the server's wall clock and is for what people and players
see: EXT-X-PROGRAM-DATE-TIME and the `at_ms` of room events are both read from it.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Milliseconds, as integers."""

    def now_ms(self) -> int:
        """Monotonic milliseconds from an arbitrary start."""
        ...

    def utc_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000
