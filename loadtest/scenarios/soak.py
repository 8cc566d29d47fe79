"""For an hour at a load that it should bear: joins, leaves, encoders that drop, Redis that goes, and nothing may grow.

One worker with Redis and SQLite, a crowd of every kind. Faults come in turn, evenly over the time. Resident memory,
descriptors, tasks and waits are read every two seconds; after a warm-up each has to be flat by a test of its slope.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtest import clips
from loadtest.charts import Chart, lines, percentiles
from loadtest.histogram import Histogram
from loadtest.house import House, Stretch
from loadtest.nodes import Redis
from loadtest.report import Figure, Report, Table
from loadtest.scenarios.capacity import KEPT
from loadtest.slope import drift
from loadtest.stage import Stage, open_stage

SUMMARY = "An hour at 60 % of the capacity with joins, leaves and faults: memory, descriptors, tasks, waits stay flat"
_DISK = Path("/var/tmp")
_WARM_S = 75.0  # windows, caches and the segments kept behind them are full
_EVERY_S = 2.0
# What one worker carries of each alone, where `capacity` has not been asked here; then the share that each gets of it.
# They add up to less than one: what is done in batches where it is many costs more each where it is few. An order by
# itself costs three to six times what one in a line of hundreds does.
_GUESSED = {"publishers": 300, "players": 1_500, "listeners": 2_000, "members": 6_000, "orders": 800}
_SHARES = {"publishers": 0.2, "players": 0.2, "listeners": 0.15, "members": 0.2, "orders": 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A quantity that has to be flat: what it may grow by over the run, at least and by its usual value."""

    name: str
    unit: str
    allowed: float
    allowed_share: float


_WATCHED = (
    Watched(name="resident memory", unit="MiB", allowed=8, allowed_share=0.03),
    Watched(name="descriptors", unit="", allowed=12, allowed_share=0.02),
    Watched(name="tasks", unit="", allowed=12, allowed_share=0.02),
    Watched(name="danmaku, p99", unit="ms", allowed=30, allowed_share=0.2),
    Watched(name="order, p99", unit="ms", allowed=30, allowed_share=0.3),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: an hour."""
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--load", type=float, default=0.6, help="share of what `capacity` found on this machine")
    parser.add_argument("--faults", type=int, default=0, help="how many over the run; 0: one every two minutes")


def run(arguments: argparse.Namespace) -> Report:
    """Warm up, then live on."""
    crowd, whence = _crowd(arguments.load)
    with open_stage() as stage, TemporaryDirectory(prefix="streamd-soak-", dir=_DISK) as folder:
        soak = _Soak(stage, Path(folder), crowd)
        soak.begin()
        soak.house.wait(_WARM_S, "warming up")
        soak.forget()
        soak.live(60 * arguments.minutes, arguments.faults or max(3, round(arguments.minutes / 2)))
        return _report(soak, crowd, whence, arguments)


def _crowd(load: float) -> tuple[dict[str, int], str]:
    """How many of each, and where that is from. The worker's core is shared by the kinds."""
    path = clips.cache_folder() / KEPT
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    carried = {name: measured.get(name) or guess for name, guess in _GUESSED.items()}
    whence = (
        "of `python -m loadtest capacity` on this machine" if measured else "of what a machine with 2 cores carries"
    )
    return {name: max(2, round(carried[name] * _SHARES[name] * load)) for name in carried}, whence


class _Soak:
    """The run."""

    def __init__(self, stage: Stage, folder: Path, crowd: dict[str, int]) -> None:
        self.stage = stage
        self.redis = Redis(stage.folder)
        stage.ends_with(self.redis.stop)
        settings = {"STREAMD_REDIS_URL": self.redis.url, "STREAMD_NODE_HOST": "127.0.0.1"}
        self.house = House(stage, folder, buyers=100, streams=crowd["publishers"], settings=settings)
        self._crowd = crowd
        self.tasks: list[tuple[float, float]] = []
        self.marks: list[tuple[float, str]] = []
        self.began_s = 0.0
        self.seen = Stretch(0.0)

    def begin(self) -> None:
        """Everybody comes."""
        crowd, house = self._crowd, self.house
        house.go_on_air()
        house.open_members(
            crowd["members"],
            say_per_s=40.0,
            likers=crowd["members"] // 20,
            slow=crowd["members"] // 50,
            change_per_s=max(1.0, crowd["members"] / 120),
        )
        for _ in range(2):
            house.open_players(max(1, crowd["players"] // 2))
            house.open_listeners(max(1, crowd["listeners"] // 2))
        house.open_shop(crowd["orders"])

    def forget(self) -> None:
        """What was read while it warmed up."""
        for used in self.stage.meter.usages.values():
            for readings in (used.at_s, used.cpu_percent, used.resident_mib, used.descriptors):
                readings.clear()
        self.house.history.clear()
        self.began_s = self.stage.meter.elapsed_s
        self.seen = Stretch(self.began_s)

    def live(self, seconds: float, faults: int) -> None:
        """Faults in turn, evenly; readings in between."""
        ends_s = time.monotonic() + seconds
        pause_s = seconds / (faults + 1)
        next_fault_s = time.monotonic() + pause_s
        turns: Iterator[tuple[str, Callable[[], None]]] = cycle(self._faults())
        while (left_s := ends_s - time.monotonic()) > 0:
            self.seen.take(self.house.wait(min(_EVERY_S, left_s), f"soaking, {left_s / 60:.1f} min left;"))
            self.tasks.append((self.now_s, self.house.metric("streamd_tasks")))
            if time.monotonic() >= next_fault_s and left_s > pause_s / 2:
                next_fault_s += pause_s
                name, do = next(turns)
                self.marks.append((self.now_s, name))
                do()

    @property
    def now_s(self) -> float:
        """Since the warm-up ended."""
        return self.stage.meter.elapsed_s - self.began_s

    def _faults(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("encoder drops and comes back", self._drop),
            ("half of the players leave, others come", self._players_change),
            ("Redis restarted, empty", self._redis_restarts),
            ("half of the HTTP-FLV viewers leave, others come", self._listeners_change),
            ("buyers sign in again", self._buyers_change),
        ]

    def _drop(self) -> None:
        assert self.house.encoder is not None
        self.house.encoder.break_off()

    def _players_change(self) -> None:
        self.house.close(self.house.players[0])
        self.house.open_players(max(1, self._crowd["players"] // 2))

    def _listeners_change(self) -> None:
        self.house.close(self.house.listeners[0])
        self.house.open_listeners(max(1, self._crowd["listeners"] // 2))

    def _buyers_change(self) -> None:
        self.house.sign_in_again()
        self.house.close(self.house.buyers[0])
        self.house.open_shop(self._crowd["orders"])

    def _redis_restarts(self) -> None:
        self.redis.stop()
        self.redis.start()

    def readings(self, name: str) -> list[tuple[float, float]]:
        """Of a watched quantity, by seconds since the warm-up ended."""
        used, looks = self.stage.meter.usages["streamd"], self.house.history
        match name:
            case "resident memory":
                found = list(zip(used.at_s, used.resident_mib, strict=True))
            case "descriptors":
                found = [(at, float(count)) for at, count in zip(used.at_s, used.descriptors, strict=True)]
            case "danmaku, p99":
                found = [(one.ends_s, one.danmaku.percentile_ms(0.99)) for one in looks if one.danmaku.count]
            case "order, p99":
                found = [(one.ends_s, one.orders.percentile_ms(0.99)) for one in looks if one.orders.count]
            case _:
                return self.tasks
        return [(at - self.began_s, value) for at, value in found]


def _report(soak: _Soak, crowd: dict[str, int], whence: str, arguments: argparse.Namespace) -> Report:
    figures: list[Figure] = []
    rows: list[tuple[object, ...]] = []
    charts: list[Chart] = []
    for watched in _WATCHED:
        readings = soak.readings(watched.name)
        figure, row = _judge(watched, readings)
        figures.append(figure)
        rows.append(row)
        charts.append(replace(lines(watched.name, watched.unit, {"streamd": readings}), marks=tuple(soak.marks)))
    seen = soak.seen
    figures += [
        Figure(name="orders that got no answer or an error", value=seen.failed, most=0),
        Figure(name="members who lost their connection", value=seen.lost, most=0),
    ]
    waits = {"danmaku": Histogram(), "order": Histogram()}
    for one in soak.house.history:
        waits["danmaku"].add(one.danmaku)
        waits["order"].add(one.orders)
    return Report(
        scenario="soak",
        title=f"A soak of {arguments.minutes:g} minutes",
        command="",
        figures=tuple(figures),
        tables=(
            Table(title="Slopes", columns=("what", "usual", "over the run", "an hour", "chance", ""), rows=tuple(rows)),
            Table(title="The crowd", columns=("what", "count"), rows=tuple(_crowd_rows(crowd, seen))),
            Table(title="Faults", columns=("s", "what"), rows=tuple(soak.marks)),
            soak.stage.meter.table(),
        ),
        charts=(*charts, percentiles("Waits over the run", waits)),
        notes=(
            f"Load: {arguments.load:.0%} {whence}, shared among the kinds; how busy that keeps the server is in the "
            f"table of processes. {_WARM_S:.0f} s of warm-up before the first reading.",
            "Slope: Theil and Sen's; chance: Mann and Kendall's, that readings without a trend look like this. It "
            "grows when that is below 1 % and the slope over the run is more than the target.",
            "Waits count from when they were due, and include those during faults.",
        ),
    )


def _judge(watched: Watched, readings: list[tuple[float, float]]) -> tuple[Figure, tuple[object, ...]]:
    found = drift(readings)
    allowed = max(watched.allowed, watched.allowed_share * found.usual)
    is_flat = found.is_flat(allowed=allowed)
    figure = Figure(
        name=f"{watched.name}: sure growth over the run",
        value=0.0 if is_flat and found.whole > allowed else found.whole,  # not told from chance
        unit=watched.unit,
        most=allowed,
    )
    verdict = "flat" if is_flat else "GROWS"
    return figure, (watched.name, found.usual, found.whole, found.per_hour, found.chance, verdict)


def _crowd_rows(crowd: dict[str, int], seen: Stretch) -> Iterator[tuple[object, ...]]:
    yield from crowd.items()
    yield "orders placed", seen.placed
    yield "orders refused", seen.refused
    yield "stalls of LL-HLS players, faults included", seen.stalls
    yield "seconds that they stalled, all together", seen.stalled_s
    yield "viewers cut off", seen.cut_off
    yield "slow members cut off", seen.laggards_lost
