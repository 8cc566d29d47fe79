"""A clock that stands still until a test moves it."""

from __future__ import annotations


class FakeClock:
    def __init__(self, *, now_ms: int = 1_000_000, utc_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._utc_ms = utc_ms

    def now_ms(self) -> int:
        return self._now_ms

    def utc_ms(self) -> int:
        return self._utc_ms

    def advance(self, ms: int) -> None:
        """Both clocks go on together."""
        self._now_ms += ms
        self._utc_ms += ms
