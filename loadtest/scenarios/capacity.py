"""What this machine carries: publishers, players, viewers, members, orders, each by itself until a limit breaks.

Each quantity has servers of its own and the same share of the time. Generators run on the same cores and are paid by
them: where one of them was the busiest process, the figure is a floor, and says so.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtest import clips
from loadtest.capacity_tests import TESTS, Reading, Test
from loadtest.charts import Chart, lines
from loadtest.climb import Climb
from loadtest.processes import ChildFailedError
from loadtest.report import Figure, Report, Table
from loadtest.stage import open_stage

SUMMARY = "What this machine carries until a limit breaks: publishers, viewers, members, orders; a sizing table"
KEPT = "capacity.json"  # in the cache folder: what `soak` takes its load from
_WATCH_S = 4.0
_STEP_S = 9.0  # about what a step takes with all that is around it
_PLANNED = 0.6
_BUSY = 0.7  # of a core
_DISK = Path("/var/tmp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: at most twelve minutes."""
    parser.add_argument("--minutes", type=float, default=12.0, help="for all quantities together")
    parser.add_argument("--only", choices=list(TESTS), action="append", help="these only; may be given again")


def run(arguments: argparse.Namespace) -> Report:
    """One quantity after the other, the time shared evenly."""
    names = arguments.only or list(TESTS)
    found = {name: _find(name, 60 * arguments.minutes / len(names)) for name in names}
    _keep({name: one.climb.held for name, one in found.items()})
    return Report(
        scenario="capacity",
        title="What this machine carries",
        command="",
        figures=tuple(Figure(name=one.test.name, value=one.climb.held) for one in found.values()),
        tables=(
            Table(
                title="Sizing",
                columns=(
                    "quantity",
                    "carried",
                    f"to plan with ({_PLANNED:.0%})",
                    "broke at",
                    "because",
                    "server, % of a core",
                    "p99 ms",
                    "server MiB",
                    "held back by",
                ),
                rows=tuple(one.row() for one in found.values()),
            ),
            Table(
                title="Steps",
                columns=("quantity", "load", "held", "p99 ms", "server, % of a core", "busiest, %", "MiB"),
                rows=tuple(row for one in found.values() for row in one.step_rows()),
            ),
            Table(
                title="Limits",
                columns=("quantity", "limits"),
                rows=tuple((one.test.name, one.test.limits) for one in found.values()),
            ),
        ),
        charts=tuple(one.chart() for one in found.values()),
        notes=(
            "One worker; each quantity alone, on a server of its own. Quantities share the worker's core: plan with "
            "shares of them that add up to one, and a margin.",
            "Held back by: which process was near the end of its core at the largest load that held. Where it is a "
            "generator, or none, the machine carries more than the figure says. A limit that breaks while no process "
            "here has much to do is tried once more: other work on the machine is the likelier cause.",
        ),
    )


class _Search:
    """One quantity's steps."""

    def __init__(self, test: type[Test], seconds: float) -> None:
        self.test = test
        self.climb = Climb(test.start, most=test.most)
        self.steps: list[tuple[int, Reading]] = []
        self._ends_s = time.monotonic() + seconds
        self._longest_s = _STEP_S
        self._doubted = 0

    @property
    def goes_on(self) -> bool:
        """Whether there is a next step, and time for it."""
        return not self.climb.is_over and time.monotonic() + self._longest_s < self._ends_s

    def on_one_server(self, test: Test) -> None:
        """As many steps as `test` can take."""
        highest = 0
        while self.goes_on and not (test.only_up and self.climb.load < highest):
            highest, began_s = self.climb.load, time.monotonic()
            reading = _step(test, highest)
            self._longest_s = max(self._longest_s, time.monotonic() - began_s)
            self.steps.append((highest, reading))
            if reading.broke and reading.busiest < _BUSY and self._doubted != highest:
                self._doubted = highest  # nobody here had much to do: somebody else on the machine had; once more
                continue
            self.climb.judge(holds=not reading.broke, busy=reading.busiest)

    def row(self) -> tuple[object, ...]:
        held, broke = self.climb.held, self.climb.broke
        best = next((reading for load, reading in self.steps if load == held and not reading.broke), None)
        why = next((reading.broke for load, reading in self.steps if load == broke and reading.broke), "time was up")
        if best is None:
            return (self.test.name, 0, 0, broke, why, "", "", "", "")
        full = best.busiest > 0.85
        holder = "the server" if best.server > 0.85 else "a generator" if full else "none"
        return (
            self.test.name,
            held,
            math.floor(held * _PLANNED),
            broke or "not reached",
            why,
            100 * best.server,
            best.wait_ms,
            best.resident_mib,
            holder,
        )

    def step_rows(self) -> Iterator[tuple[object, ...]]:
        for load, one in self.steps:
            yield (
                self.test.name,
                load,
                one.broke or "yes",
                one.wait_ms,
                100 * one.server,
                100 * one.busiest,
                one.resident_mib,
            )

    def chart(self) -> Chart:
        steps = sorted(self.steps, key=lambda step: step[0])
        shares = {
            "server": [(float(load), 100 * one.server) for load, one in steps],
            "busiest process": [(float(load), 100 * one.busiest) for load, one in steps],
        }
        return lines(self.test.name, "% of a core", shares, across="")


def _find(name: str, seconds: float) -> _Search:
    search = _Search(TESTS[name], seconds)
    while search.goes_on:
        with open_stage() as stage, TemporaryDirectory(prefix="streamd-capacity-", dir=_DISK) as folder:
            search.on_one_server(search.test(stage, Path(folder)))
            stage.say("")
    return search


def _step(test: Test, load: int) -> Reading:
    """A crowd that could not even get in is a limit as well."""
    try:
        return test.step(load, _WATCH_S)
    except ChildFailedError as failure:
        why = f"not all got in: {str(failure).splitlines()[-1]}"
        return Reading(broke=why, wait_ms=0.0, server=0.0, busiest=1.0, resident_mib=0.0)


def _keep(found: dict[str, int]) -> None:
    """For `soak`; what was not looked for stays as it was."""
    path = clips.cache_folder() / KEPT
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | found), encoding="utf-8")
