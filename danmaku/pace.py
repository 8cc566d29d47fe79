"""How long drafts wait for company before a tick: not at all in a quiet room, up to a fifth of a second in a crowd."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long drafts wait for company. Below `quiet_per_s` events nothing waits."""

    quiet_per_s: int = 5
    busy_per_s: int = 20
    short_ms: int = 50
    long_ms: int = 100
    crowd_ms: int = 200
    crowd_members: int = 5_000
    precious_ms: int = 20  # class A waits for nothing but this since the last tick with such an event ...
    precious_members: int = 100  # ... and a millisecond for so many members, which is what writing to them takes

    def precious_interval_ms(self, members: int) -> int:
        """Time between two ticks with events of class A."""
        return max(self.precious_ms, members // self.precious_members)

    def interval_ms(self, per_s: float, members: int) -> int:
        """Time between two ticks at this rate of events, for this many members.

        Never less than three times what writing to the members takes, or the first second of a rush, in which the rate
        is not known yet, would be spent on ticks of one message.
        """
        if per_s < self.quiet_per_s:
            return min(self.crowd_ms, members // 50)
        if members > self.crowd_members:
            return self.crowd_ms
        return self.short_ms if per_s < self.busy_per_s else self.long_ms
