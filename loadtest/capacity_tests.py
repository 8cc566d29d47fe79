"""What can be put on a server in growing numbers, and when it is too much: one class for each quantity.

A step puts `load` on, lets it settle, watches for a few seconds and says what limit broke, if any. Limits are those
that a viewer, a member or a buyer would feel: waits, stalls, losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from loadtest import clips
from loadtest.histogram import Histogram
from loadtest.house import House, Stretch
from loadtest.machine import resident_bytes
from loadtest.peers import Streamd
from loadtest.processes import Generator
from loadtest.scenarios.flv_viewers import crowd_of
from loadtest.scenarios.ingest import publish
from loadtest.stage import Stage

PART_MS = 500.0  # as long as a part: a player that waits longer eats into what it has in store
DANMAKU_MS, CARD_MS, ORDER_MS = 400.0, 200.0, 250.0
_SHOW = "show"
_PER_GENERATOR = 150
_SETTLE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One step."""

    broke: str  # which limit; empty when all held
    wait_ms: float  # the p99 that is watched
    server: float  # of a core
    busiest: float  # of a core, of all processes, generators too
    resident_mib: float


class Test(Protocol):
    """One quantity."""

    name: str
    limits: str
    start: int
    most: int
    only_up: bool  # what has been put on cannot be taken off: less is tried on another server

    def __init__(self, stage: Stage, folder: Path) -> None: ...

    def step(self, load: int, seconds: float) -> Reading:
        """Put `load` on and watch for so long."""
        ...


class _Rig:
    """A stage, a server, and how busy they are."""

    def __init__(self, stage: Stage, server: Streamd) -> None:
        self.stage = stage
        self.server = server

    def watch(self, crowds: list[Generator], seconds: float, what: str) -> tuple[float, float, float]:
        """The server's share of a core, the busiest process's, and the server's MiB."""
        groups = {"server": self.server.pids(), **{f"crowd {one.pid}": [one.pid] for one in crowds}}
        spent = self.stage.cpu_of(groups, seconds, what)
        shares = {name: ms_a_s / 1_000 for name, ms_a_s in spent.items()}
        return shares["server"], max(shares.values()), resident_bytes(groups["server"]) / 2**20


class Publishers:
    """Streams of 2 Mb/s by RTMP, each made into LL-HLS; a few players of the first one feel it."""

    name = "RTMP publishers of 2 Mb/s"
    limits = f"part at a player, p99 ≤ {PART_MS:.0f} ms; no stall; no publisher dropped"
    start, most, only_up = 80, 800, True

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._names = [f"stream-{number}" for number in range(self.most)]
        self._rig = _Rig(stage, stage.server(Streamd(folder / "publishers", rooms=self._names)))
        self._crowds: list[Generator] = []
        self._count = 0

    def step(self, load: int, seconds: float) -> Reading:
        stage, server = self._rig.stage, self._rig.server
        while self._count < load:
            names = self._names[self._count : min(load, self._count + _PER_GENERATOR)]
            urls = [server.publish_url(name) for name in names]
            job = {"urls": urls, "clip": str(clips.source_clip()), "loop_ms": clips.SECONDS * 1_000}
            self._crowds.append(stage.generator("publishers", job))
            self._count += len(urls)
        stage.wait(_SETTLE_S * 1.5, f"{load} publishers: settling")
        probe = _players(stage, server, self._names[0], 5)
        share, busiest, memory = self._rig.watch(self._crowds, seconds, f"{load} publishers")
        wait, broke = _felt(probe)
        dropped = sum(len(one.ask()["dropped"]) for one in self._crowds)
        return Reading(
            broke=broke or (f"{dropped} publishers dropped" if dropped else ""),
            wait_ms=wait.percentile_ms(0.99),
            server=share,
            busiest=busiest,
            resident_mib=memory,
        )


class Players:
    """LL-HLS players of one stream: every playlist held, every part fetched."""

    name = "LL-HLS players of one stream"
    limits = f"part at a player, p99 ≤ {PART_MS:.0f} ms; no stall; none cut off"
    start, most, only_up = 400, 20_000, False

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._rig = _Rig(stage, stage.server(Streamd(folder / "players", rooms=[_SHOW])))
        publish(stage, self._rig.server, [_SHOW], lean=True)
        stage.wait(6.0, "on air")

    def step(self, load: int, seconds: float) -> Reading:
        stage = self._rig.stage
        crowds = [_players(stage, self._rig.server, _SHOW, load // 2) for _ in range(2)]
        stage.wait(_SETTLE_S, f"{load} players: settling")
        share, busiest, memory = self._rig.watch(crowds, seconds, f"{load} players")
        felt = [_felt(one) for one in crowds]
        wait = felt[0][0]
        wait.add(felt[1][0])
        return Reading(
            broke=felt[0][1] or felt[1][1],
            wait_ms=wait.percentile_ms(0.99),
            server=share,
            busiest=busiest,
            resident_mib=memory,
        )


class Listeners:
    """HTTP-FLV viewers of one stream."""

    name = "HTTP-FLV viewers of one stream"
    limits = "slowest viewer gets 90 % of the rate; no second of silence; none cut off"
    start, most, only_up = 400, 20_000, False

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._rig = _Rig(stage, stage.server(Streamd(folder / "listeners", rooms=[_SHOW])))
        publish(stage, self._rig.server, [_SHOW], lean=True)
        stage.wait(4.0, "on air")

    def step(self, load: int, seconds: float) -> Reading:
        stage = self._rig.stage
        crowds = crowd_of(stage, "flv", self._rig.server.http_url(f"/live/{_SHOW}.flv"), load)
        stage.wait(_SETTLE_S, f"{load} viewers: settling")
        before = sum(one.ask()["silences"] for one in crowds)
        share, busiest, memory = self._rig.watch(crowds, seconds, f"{load} viewers")
        totals = [_end(one) for one in crowds]
        slowest = min(one["slowest_bps"] for one in totals) / clips.TOTAL_BPS
        silences = sum(one["silences"] for one in totals) - before
        cut_off = sum(one["cut_off"] for one in totals)
        broke = f"{cut_off} cut off" if cut_off else f"{silences} silences" if silences else ""
        return Reading(
            broke=broke or (f"slowest got {100 * slowest:.0f} %" if slowest < 0.9 else ""),
            wait_ms=0.0,
            server=share,
            busiest=busiest,
            resident_mib=memory,
        )


class Members:
    """Members of one room with 40 danmaku a second and pins."""

    name = "members of one room"
    limits = f"danmaku p99 ≤ {DANMAKU_MS:.0f} ms, card p99 ≤ {CARD_MS:.0f} ms; none lost"
    start, most, only_up = 1_000, 25_000, True

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._house = House(stage, folder / "members", buyers=60)
        self._rig = _Rig(stage, self._house.server)
        self._count = 0

    def step(self, load: int, seconds: float) -> Reading:
        house, stage = self._house, self._rig.stage
        if load > self._count:
            house.open_members(load - self._count, say_per_s=0 if self._count else 40.0, at_once=100)
        self._count = load
        while not all(one.is_ready() for one in house.members):
            stage.wait(0.5, f"{load} members join")
        stage.wait(_SETTLE_S, f"{load} members: settling")
        house.look()
        house.pins_us.clear()
        pinned = len(house.history)
        pauses = 4
        shares = []
        for number in range(pauses):
            house.pin(1 + number)
            shares.append(self._rig.watch(house.members, seconds / pauses, f"{load} members"))
        seen = house.look()
        cards = _cards(house)
        danmaku_ms, card_ms = seen.danmaku.percentile_ms(0.99), cards.percentile_ms(0.99)
        lost = sum((one.lost for one in house.history[pinned:]), 0)
        broke = f"{lost} members lost" if lost else f"danmaku {danmaku_ms:.0f} ms" if danmaku_ms > DANMAKU_MS else ""
        return Reading(
            broke=broke or (f"card {card_ms:.0f} ms" if card_ms > CARD_MS else ""),
            wait_ms=danmaku_ms,
            server=max(one[0] for one in shares),
            busiest=max(one[1] for one in shares),
            resident_mib=shares[-1][2],
        )


class Orders:
    """Orders at a rate, through the whole API, on SQLite."""

    name = "orders a second, SQLite"
    limits = f"order p99 ≤ {ORDER_MS:.0f} ms; every one answered"
    start, most, only_up = 300, 10_000, False

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._house = House(stage, folder / "orders", buyers=100)
        self._rig = _Rig(stage, self._house.server)

    def step(self, load: int, seconds: float) -> Reading:
        house = self._house
        shop = house.open_shop(load)
        self._rig.stage.wait(1.0, f"{load} orders a second: settling")
        house.look()
        share, busiest, memory = self._rig.watch([shop], seconds, f"{load} orders a second")
        seen: Stretch = house.look()
        house.close(shop)
        wait_ms = seen.orders.percentile_ms(0.99)
        per_s = (seen.placed + seen.refused) / seconds
        broke = f"{seen.failed} without an order" if seen.failed else ""
        if not broke and per_s < 0.9 * load:
            broke = f"{per_s:.0f} a second answered"
        return Reading(
            broke=broke or (f"p99 {wait_ms:.0f} ms" if wait_ms > ORDER_MS else ""),
            wait_ms=wait_ms,
            server=share,
            busiest=busiest,
            resident_mib=memory,
        )


TESTS: dict[str, type[Test]] = {
    "publishers": Publishers,
    "players": Players,
    "listeners": Listeners,
    "members": Members,
    "orders": Orders,
}


def _players(stage: Stage, server: Streamd, room: str, count: int) -> Generator:
    job = {"url": server.http_url(f"/live/{room}/index.m3u8"), "viewers": count, "media": True}
    return stage.generator("hls_crowd", job)


def _felt(crowd: Generator) -> tuple[Histogram, str]:
    """How long parts took to these players, and which limit broke. They leave."""
    said = _end(crowd)
    wait = Histogram.from_json(said["arrivals"])
    stalls, cut_off = said["playing"]["stalls"], said["playing"]["ended"]
    wait_ms = wait.percentile_ms(0.99)
    if cut_off:
        return wait, f"{cut_off} cut off"
    if stalls:
        return wait, f"{stalls} stalls"
    if not wait.count:
        return wait, "no part came"
    return wait, f"part p99 {wait_ms:.0f} ms" if wait_ms > PART_MS else ""


def _cards(house: House) -> Histogram:
    """From each pin to the members who are being asked."""
    found = Histogram()
    for one in house.members:
        for version, seen_us in one.ask().get("pinned_us", {}).items():
            if asked_us := house.pins_us.get(int(version)):
                for at_us in seen_us:
                    found.record(at_us - asked_us)
    return found


def _end(crowd: Generator) -> dict[str, Any]:
    totals = crowd.finish()
    crowd.stop()
    return totals
