"""What processes use while a scenario runs: processor, memory and open descriptors by name, about once a second.

Readings are taken by whoever waits (`Stage.wait`), so there is no thread beside the measurement. Several processes may
share a name. One that ends is no longer read; what it had used counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import mean

from loadtest.charts import Chart, lines
from loadtest.machine import cpu_ms, descriptors, resident_bytes
from loadtest.report import Table

_EVERY_S = 0.9
_MOST_LINES = 6


@dataclass(slots=True)
class Usage:
    """Of one name. Seconds since the meter began."""

    at_s: list[float] = field(default_factory=list)
    cpu_percent: list[float] = field(default_factory=list)  # of one core
    resident_mib: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    cpu_s: float = 0.0


class Meter:
    """See the module's promise."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._began_s = self._read_s = now_s()
        self._sources: list[tuple[str, Callable[[], Sequence[int]]]] = []
        self._spent_ms: dict[int, float] = {}
        self.usages: dict[str, Usage] = {}

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return self._now_s() - self._began_s

    def watch(self, name: str, pids: Callable[[], Sequence[int]]) -> None:
        """From now on; `pids` may raise when there are none any more."""
        self._sources.append((name, pids))
        for pid in _alive(pids):
            self._spent_ms.setdefault(pid, cpu_ms([pid]))

    def read(self, *, at_once: bool = False) -> None:
        """Take a reading, if the last one is a while ago."""
        now_s = self._now_s()
        passed_s = now_s - self._read_s
        if passed_s < _EVERY_S and not at_once:
            return
        self._read_s = now_s
        found: dict[str, tuple[float, int, int]] = {}
        for name, pids in self._sources:
            for pid in _alive(pids):
                with suppress(OSError):
                    spent_ms, memory, files = cpu_ms([pid]), resident_bytes([pid]), descriptors([pid])
                    used_ms = spent_ms - self._spent_ms.get(pid, 0.0)
                    self._spent_ms[pid] = spent_ms
                    before = found.get(name, (0.0, 0, 0))
                    found[name] = (before[0] + used_ms, before[1] + memory, before[2] + files)
        for name, (used_ms, memory, files) in found.items():
            usage = self.usages.setdefault(name, Usage())
            usage.at_s.append(now_s - self._began_s)
            usage.cpu_percent.append(used_ms / max(passed_s, 0.001) / 10)
            usage.resident_mib.append(memory / 2**20)
            usage.descriptors.append(files)
            usage.cpu_s += used_ms / 1_000

    def table(self) -> Table:
        """One line for each name."""
        rows = tuple(
            (
                name,
                used.cpu_s,
                mean(used.cpu_percent),
                max(used.cpu_percent),
                max(used.resident_mib),
                max(used.descriptors),
            )
            for name, used in self.usages.items()
        )
        columns = ("process", "CPU s", "% of a core, mean", "busiest second", "resident MiB, most", "descriptors, most")
        return Table(title="Processes", columns=columns, rows=rows)

    def charts(self) -> tuple[Chart, ...]:
        """Processor and memory over the run, of those that used most."""
        busiest = sorted(self.usages, key=lambda name: -self.usages[name].cpu_s)[:_MOST_LINES]
        ordered = [name for name in self.usages if name in busiest]
        return (
            lines(
                "Processor time by process",
                "% of a core",
                {name: _pairs(self.usages[name], self.usages[name].cpu_percent) for name in ordered},
            ),
            lines(
                "Resident memory by process",
                "MiB",
                {name: _pairs(self.usages[name], self.usages[name].resident_mib) for name in ordered},
            ),
        )


def _pairs(used: Usage, values: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(used.at_s, values, strict=True))


def _alive(pids: Callable[[], Sequence[int]]) -> list[int]:
    """Those that are there; a server that has ended has none."""
    try:
        return list(pids())
    except (OSError, RuntimeError):
        return []
