"""The jitter buffer: packets of one source back in order, and what is missing among them.

In: packets with their 16-bit sequence numbers as they arrive, the time. Out: the same packets once each, in order, and
`None` in the place of those that were given up; which numbers to ask for again; the figures of a receiver report.
 - A packet in its turn passes straight through; only what follows a hole is kept.
 - A hole is asked about after a short wait (it may be mere reordering), again after each round trip, a few times.
   The round trip is measured on the answers.
 - It is given up at its deadline, or when what waits behind it is too much. Nothing waits for longer, so a late packet
   is late for good.
 - A leap of the numbers is a restart of the sender only if a second packet confirms it (RFC 3550 A.1).
Pure: no clock. Source: RFC 3550 A.1, A.3 and A.8; RFC 4585 6.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

NEVER_US = 1 << 62
_MODULUS = 1 << 16
_FURTHEST_AHEAD = 1_000  # more missing at once is no hole but a leap: nobody resends a second of media
_FURTHEST_BEHIND = 1_000
_NACKS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class JitterLimits:
    """How long and how much a hole may hold up. A key frame of 2 MB is some 1 700 packets."""

    deadline_us: int = 500_000
    packets_count: int = 8_192
    holes_count: int = 4_096
    bytes: int = 12 << 20
    first_nack_us: int = 10_000
    shortest_repeat_us: int = 20_000
    longest_repeat_us: int = 150_000
    nacks_count: int = 8  # for one packet


class _Hole:
    """One packet that has not come."""

    __slots__ = ("asked", "asked_us", "next_us", "since_us")

    def __init__(self, now_us: int, next_us: int) -> None:
        self.since_us = now_us
        self.next_us = next_us
        self.asked = 0
        self.asked_us = 0


class JitterBuffer(Generic[T]):
    """Packets of one source. `T` is whatever the owner wants back."""

    __slots__ = (
        "_base",
        "_bytes",
        "_highest",
        "_holes",
        "_limits",
        "_next",
        "_suspect",
        "_waiting",
        "duplicates",
        "given_up",
        "late",
        "nack_due_us",
        "received",
        "recovered",
        "restarts",
        "round_trip_us",
    )

    def __init__(self, *, limits: JitterLimits) -> None:
        self._limits = limits
        self._next: int | None = None  # extended number of the next packet to hand out
        self._highest = self._base = 0
        self._suspect = -1
        self._waiting: dict[int, tuple[T, int]] = {}
        self._holes: dict[int, _Hole] = {}  # ascending
        self._bytes = 0
        self.received = self.duplicates = self.late = self.recovered = self.given_up = self.restarts = 0
        self.round_trip_us = 80_000
        self.nack_due_us = NEVER_US  # when `nacks` may have something to say

    @property
    def highest_sequence(self) -> int:
        """The highest number so far, with its cycles."""
        return self._highest

    @property
    def expected(self) -> int:
        """How many packets there would be without loss."""
        return self._highest - self._base + 1 if self._next is not None else 0

    def add(
        self, sequence: int, packet: T, size_bytes: int, *, now_us: int, is_repeat: bool = False
    ) -> Sequence[T | None]:
        """Take a packet; those that are due now. `is_repeat`: by RTX, which never moves the window."""
        expected = self._next
        if expected is not None and sequence == expected & 0xFFFF and not self._waiting and not is_repeat:
            self.received += 1
            self._next = expected + 1
            self._highest = expected
            return (packet,)
        if expected is None:
            if is_repeat:
                return ()
            self._next = self._highest = self._base = sequence
            return self.add(sequence, packet, size_bytes, now_us=now_us)
        number = self._place(sequence)
        if number > self._highest + _FURTHEST_AHEAD or number < expected - _FURTHEST_BEHIND:
            return () if is_repeat else self._leap(sequence, packet)
        if number > self._highest and is_repeat:
            return ()
        self._suspect = -1
        return self._keep(number, packet, size_bytes, now_us, is_repeat)

    def nacks(self, *, now_us: int) -> list[int]:
        """The 16-bit numbers to ask for now, ascending."""
        if now_us < self.nack_due_us:
            return []
        wanted: list[int] = []
        repeat_us = self._repeat_us()
        for number, hole in self._holes.items():
            if hole.next_us > now_us or hole.asked >= self._limits.nacks_count:
                continue
            hole.asked += 1
            hole.asked_us = now_us
            hole.next_us = now_us + repeat_us
            wanted.append(number & 0xFFFF)
            if len(wanted) == _NACKS_AT_ONCE:
                break
        most = self._limits.nacks_count
        self.nack_due_us = min((each.next_us for each in self._holes.values() if each.asked < most), default=NEVER_US)
        return wanted

    def _repeat_us(self) -> int:
        limits = self._limits
        return max(limits.shortest_repeat_us, min(self.round_trip_us * 5 // 4, limits.longest_repeat_us))

    def _place(self, sequence: int) -> int:
        """The extended number that is nearest to the highest."""
        step = (sequence - self._highest) & 0xFFFF
        return self._highest + (step - _MODULUS if step >= _MODULUS >> 1 else step)

    def _leap(self, sequence: int, packet: T) -> Sequence[T | None]:
        """Far from where we are: the second of two in sequence begins anew, with all that waited left behind."""
        if sequence != self._suspect:
            self._suspect = (sequence + 1) & 0xFFFF
            return ()
        self.restarts += 1
        self.given_up += len(self._holes)
        self._suspect = -1
        self._waiting = {}
        self._holes = {}
        self._bytes = 0
        number = self._highest + ((sequence - self._highest) & 0xFFFF)
        self._base = self._highest = number
        self._next = number + 1
        self.received = 1
        return (None, packet)

    def _keep(self, number: int, packet: T, size_bytes: int, now_us: int, is_repeat: bool) -> Sequence[T | None]:
        assert self._next is not None
        if number < self._next:
            self.late += not is_repeat  # browsers look for bandwidth by sending again what has long come
            return ()
        if number in self._waiting:
            self.duplicates += 1
            return ()
        self.received += not is_repeat  # a report tells of the way there, not of what mending made of it
        hole = self._holes.pop(number, None)
        if hole is not None:
            self._measure(hole, now_us)
        elif number > self._highest:
            first_us = now_us + self._limits.first_nack_us
            if number > self._highest + 1:
                self.nack_due_us = min(self.nack_due_us, first_us)
            for missing in range(self._highest + 1, number):
                self._holes[missing] = _Hole(now_us, first_us)
            self._highest = number
        self._waiting[number] = (packet, size_bytes)
        self._bytes += size_bytes
        return self._release(now_us)

    def _measure(self, hole: _Hole, now_us: int) -> None:
        """A missing packet came: late by itself, or as the answer to exactly one question."""
        if not hole.asked:
            return
        self.recovered += 1
        if hole.asked == 1:
            self.round_trip_us += (now_us - hole.asked_us - self.round_trip_us) >> 3

    def _release(self, now_us: int) -> Sequence[T | None]:
        out: list[T | None] = []
        waiting, limits = self._waiting, self._limits
        at = self._next
        assert at is not None
        while waiting:
            kept = waiting.pop(at, None)
            if kept is not None:
                out.append(kept[0])
                self._bytes -= kept[1]
                at += 1
                continue
            is_over = self._bytes > limits.bytes or len(self._holes) > limits.holes_count
            if (
                not is_over
                and len(waiting) <= limits.packets_count
                and self._holes[at].since_us + limits.deadline_us > now_us
            ):
                break
            out.append(None)
            while at not in waiting:
                del self._holes[at]
                self.given_up += 1
                at += 1
        self._next = at
        return out
