"""A whole show by a script of minutes: the crowd arrives, the assistant pins, a flash sale, the encoder drops.

One server, one room, everybody at once: LL-HLS players with a playhead, HTTP-FLV viewers, members who talk, like, read
slowly and stall, buyers at a rate. Every stretch of the script has its own line, so that it shows who paid for what.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from loadtest.charts import Chart, lines, percentiles
from loadtest.histogram import Histogram
from loadtest.house import GOODS, House, Stretch
from loadtest.report import Figure, Report, Table
from loadtest.shop_floor import ROOM
from loadtest.stage import Stage, open_stage

SUMMARY = "A whole show by script: crowd, pins, flash sale, encoder drop, rush, farewell; figures by act"
_DISK = Path("/var/tmp")
_SALE_SKU, _SALE_PRICE_MINOR = 1, 500


@dataclass(frozen=True, slots=True)
class Act:
    """`share` of the show's length, begun by `do`."""

    name: str
    share: float
    do: Callable[[_Stage], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about three and a half minutes."""
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--hls", type=int, default=200, help="LL-HLS players")
    parser.add_argument("--flv", type=int, default=50, help="HTTP-FLV viewers")
    parser.add_argument("--streams", type=int, default=5, help="other rooms on air")
    parser.add_argument("--danmaku-per-s", type=float, default=40.0)
    parser.add_argument("--orders-per-s", type=float, default=60.0, help="while the flash sale runs")
    parser.add_argument("--slow-share", type=float, default=0.02, help="of the members, who read now and then")
    parser.add_argument("--stalled-share", type=float, default=0.01, help="of the members, who stop reading for good")


def run(arguments: argparse.Namespace) -> Report:
    """One act after the other."""
    seconds = 60 * arguments.minutes
    acts: list[tuple[str, Stretch]] = []
    with open_stage() as stage, TemporaryDirectory(prefix="streamd-show-", dir=_DISK) as folder:
        show = _Stage(stage, Path(folder), arguments)
        show.house.go_on_air()
        began_s = stage.meter.elapsed_s
        for act in _SCRIPT:
            act.do(show)
            acts.append((act.name, show.house.wait(act.share * seconds, act.name)))
        sale = show.sale_now()
        members = [show.house.close(one) for one in list(show.house.members)]
        return _report(show, acts, members, sale, began_s)


class _Stage:
    """What the acts do."""

    def __init__(self, stage: Stage, folder: Path, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.house = House(stage, folder, buyers=100, streams=arguments.streams)
        self._sale: dict[str, Any] = {}

    def doors_open(self) -> None:
        """Everybody within a fifth of the script."""
        wish, rush_s = self._arguments, 60 * self._arguments.minutes * 0.12
        self.house.open_members(
            wish.members,
            join_per_s=wish.members / rush_s,
            say_per_s=wish.danmaku_per_s,
            likers=wish.members // 20,
            slow=round(wish.members * wish.slow_share),
            stalled=round(wish.members * wish.stalled_share),
        )
        self.house.open_players(wish.hls // 2)
        self.house.open_listeners(wish.flv)

    def second_half(self) -> None:
        """The other players; those who leave later."""
        self._leaving = self.house.open_players(self._arguments.hls - self._arguments.hls // 2)
        self.house.pin(2)

    def flash_sale(self) -> None:
        """For fewer pieces than there are buyers."""
        self.house.pin(1)
        wish = self._arguments
        pieces = max(1, round(wish.orders_per_s * wish.minutes * 60 * 0.1 / 2))
        plan = {"sku_id": _SALE_SKU, "price_minor": _SALE_PRICE_MINOR, "duration_s": 300, "quantity": pieces}
        self._sale = self.house.ask("POST", f"/api/v1/rooms/{ROOM}/sales", plan)
        self._shoppers = self.house.open_shop(wish.orders_per_s)

    def shop_closes(self) -> None:
        """Nobody buys any more; then the encoder's connection breaks."""
        self.house.close(self._shoppers)
        assert self.house.encoder is not None
        self.house.encoder.break_off()

    def rush(self) -> None:
        """One card after the other, while all talk."""
        for product in range(3, 8):
            self.house.pin(1 + product % GOODS)
            self.house.stage.wait(0.5, "pins")

    def farewell(self) -> None:
        """Half of the players go."""
        self.house.close(self._leaving)

    def sale_now(self) -> dict[str, Any]:
        """The sale as the books have it."""
        found: list[dict[str, Any]] = self.house.ask("GET", f"/api/v1/rooms/{ROOM}/sales")["items"]
        return next(one for one in found if one["id"] == self._sale["id"])


_SCRIPT = (
    Act("the crowd arrives", 0.2, _Stage.doors_open),
    Act("more players; the assistant pins", 0.15, _Stage.second_half),
    Act("flash sale", 0.2, _Stage.flash_sale),
    Act("the encoder drops and comes back", 0.15, _Stage.shop_closes),
    Act("five pins in three seconds", 0.15, _Stage.rush),
    Act("half of the players leave", 0.15, _Stage.farewell),
)


def _report(
    show: _Stage, acts: list[tuple[str, Stretch]], members: list[dict[str, Any]], sale: dict[str, Any], began_s: float
) -> Report:
    house, meter = show.house, show.house.stage.meter
    whole = replace(acts[0][1], danmaku=Histogram(), orders=Histogram())
    for _, one in acts:
        whole.danmaku.add(one.danmaku)
        whole.orders.add(one.orders)
    pins = Histogram()
    for said in members:
        for version, seen_us in said["pinned_us"].items():
            if asked_us := house.pins_us.get(int(version)):
                for at_us in seen_us:
                    pins.record(at_us - asked_us)
    marks = tuple((stretch.begins_s, name) for name, stretch in acts)
    return Report(
        scenario="show",
        title="A whole show",
        command="",
        figures=tuple(_figures(acts, whole, pins, members, sale)),
        tables=(_by_act(show, acts), meter.table()),
        charts=(
            percentiles("Waits", {"danmaku": whole.danmaku, "card after a pin": pins, "order": whole.orders}),
            *(replace(chart, marks=marks) for chart in _timelines(house.history, began_s)),
            *(replace(chart, marks=marks) for chart in meter.charts()),
        ),
        notes=(
            "SQLite on the disk of /var/tmp. The show's encoder is ffmpeg, started again 0.3 s after it broke off; "
            "the other rooms have our replayer.",
            "LL-HLS players begin PART-HOLD-BACK behind, skip nothing and never hurry. Danmaku and orders count from "
            "when they were due. Every danmaku within the room's budget is shown to everybody.",
            "A card counts from before the assistant's request until it is on a member's socket.",
        ),
    )


def _figures(
    acts: list[tuple[str, Stretch]],
    whole: Stretch,
    pins: Histogram,
    members: list[dict[str, Any]],
    sale: dict[str, Any],
) -> Iterator[Figure]:
    quiet = [stretch for name, stretch in acts if "encoder" not in name]
    yield Figure(name="pin to card, p99", value=pins.percentile_ms(0.99), unit="ms", most=200)
    yield Figure(name="shown danmaku, p99", value=whole.danmaku.percentile_ms(0.99), unit="ms", most=400)
    yield Figure(name="order, p99", value=whole.orders.percentile_ms(0.99), unit="ms")
    yield Figure(name="orders placed", value=sum(one.placed for _, one in acts))
    yield Figure(name="orders that got no answer or an error", value=sum(one.failed for _, one in acts), most=0)
    yield Figure(name="pieces sold beyond the sale's quantity", value=max(0, sale["sold"] - sale["quantity"]), most=0)
    yield Figure(
        name="different card ledgers among readers", value=max(said["card_ledgers"] for said in members), most=1
    )
    yield Figure(name="stalls of LL-HLS players, encoder's drop apart", value=sum(one.stalls for one in quiet), most=0)
    yield Figure(name="members who lost their connection", value=sum(one.lost for _, one in acts), most=0)
    yield Figure(name="slow and stalled members cut off", value=sum(one.laggards_lost for _, one in acts))
    yield Figure(name="viewers who lost their connection", value=sum(one.cut_off for one in quiet), most=0)


def _by_act(show: _Stage, acts: list[tuple[str, Stretch]]) -> Table:
    usage = show.house.stage.meter.usages["streamd"]
    rows = []
    for name, one in acts:
        cpu = [
            share for at, share in zip(usage.at_s, usage.cpu_percent, strict=True) if one.begins_s < at <= one.ends_s
        ]
        rows.append(
            (
                name,
                one.ends_s - one.begins_s,
                mean(cpu) if cpu else 0.0,
                one.danmaku.percentile_ms(0.5),
                one.danmaku.percentile_ms(0.99),
                one.placed,
                one.refused,
                one.orders.percentile_ms(0.99),
                one.latency_ms,
                one.stalls,
                one.stalled_s,
            )
        )
    columns = (
        "act",
        "s",
        "server, % of a core",
        "danmaku, median ms",
        "p99",
        "orders",
        "refused",
        "order, p99 ms",
        "LL-HLS behind live, ms",
        "stalls",
        "stalled s, all players",
    )
    return Table(title="By act", columns=columns, rows=tuple(rows))


def _timelines(history: list[Stretch], began_s: float) -> Iterator[Chart]:
    seen = [one for one in history if one.ends_s >= began_s]
    yield lines(
        "Waits, p99 of two seconds",
        "ms",
        {
            "danmaku": [(one.ends_s, one.danmaku.percentile_ms(0.99)) for one in seen if one.danmaku.count],
            "order": [(one.ends_s, one.orders.percentile_ms(0.99)) for one in seen if one.orders.count],
        },
    )
    yield lines(
        "LL-HLS players behind the live moment, median",
        "ms",
        {"players": [(one.ends_s, one.latency_ms) for one in seen if one.latency_ms]},
    )
