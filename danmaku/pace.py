"""How long drafts wait for company before a tick: not at all in a quiet room, up to a fifth of a second in a crowd."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long drafts wait for company. Below `quiet_per_s` events nothing waits."""

    quiet_per_s: int = 5
    busy_per_s: int = 20
    rush_per_s: int = 60
    short_ms: int = 50
    long_ms: int = 100
    rush_ms: int = 150
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
        if per_s < self.rush_per_s:
            return self.short_ms if per_s < self.busy_per_s else self.long_ms
        return self.rush_ms


class Rate:
    """Events a second, lately: a mean in which what is a second old hardly counts."""

    __slots__ = ("_counted", "_counted_ms", "_per_s")

    def __init__(self, *, now_ms: int) -> None:
        self._per_s = 0.0
        self._counted = 0
        self._counted_ms = now_ms

    def count(self, events: int) -> None:
        """So many happened."""
        self._counted += events

    def per_s(self, now_ms: int) -> float:
        """The mean; it is renewed four times a second at most."""
        passed_ms = now_ms - self._counted_ms
        if passed_ms >= 250:
            fresh = self._counted * 1_000 / passed_ms
            weight = min(1.0, passed_ms / 1_000)
            self._per_s += (fresh - self._per_s) * weight
            self._counted, self._counted_ms = 0, now_ms
        return self._per_s
