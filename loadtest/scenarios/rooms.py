"""A full room: five thousand members, a hundred danmaku and four thousand likes a second, cards, readers that stall.

Also what a member costs who only sits there, what joining costs, and what ten thousand members leave behind who come
and are killed. Members run in processes of their own; times are from the publisher's mark to the member's socket, on
one machine, so that both sides' queues are in them.
"""

from __future__ import annotations

import argparse
import socket
import struct
import time
from typing import Any

from loadtest.charts import Chart, percentiles
from loadtest.chatters import HANDSHAKE, frame
from loadtest.histogram import Histogram
from loadtest.processes import Generator
from loadtest.report import Figure, Report, Table
from loadtest.room_peers import OURS, STOCK, RoomProcess, start
from loadtest.stage import Stage, open_stage

SUMMARY = "A crowded room: latency by class, losses by class, CPU and memory; idle members, joins, kills"
_LIKERS = 200
_CLASSES = "ABCD"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about three minutes."""
    parser.add_argument("--members", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kills", type=int, default=10_000)


def run(arguments: argparse.Namespace) -> Report:
    """Idle first, then the crowd, then the kills."""
    figures: list[Figure] = []
    rows: list[tuple[object, ...]] = []
    charts: list[Chart] = []
    with open_stage() as stage:
        _sit(stage, arguments.members, figures)
        _show(stage, arguments, figures, rows, charts)
        _kill(stage, arguments.kills, figures)
    return Report(
        scenario="rooms",
        title="Rooms: a crowd, with readers that stall",
        command="",
        figures=tuple(figures),
        tables=(Table(title="The show", columns=("what", "value"), rows=tuple(rows)), stage.meter.table()),
        charts=(*charts, *stage.meter.charts()),
        notes=(
            "Shown danmaku: the room's budget of 40 a second out of 100 said; who said one that is not shown sees it.",
            "Stalled: 1 % of the members stop reading for good at the start.",
            "Joins: processor time of the server for HTTP upgrade, CONNECT, welcome; the figure is its reciprocal.",
            "Idle memory: growth of the server's resident memory by the second half of the members, after the first "
            "half filled what Python keeps in store. The kernel's part is not in it.",
        ),
    )


def _sit(stage: Stage, members: int, figures: list[Figure]) -> None:
    for kind in (OURS, STOCK):
        server = start(stage, kind)
        first = stage.generator("chatters", {"ports": [server.port], "members": members // 2})
        stage.wait(1.0, f"{kind}: idle members")
        cpu, resident = server.cpu_ms(), server.resident_bytes()
        second = stage.generator("chatters", {"ports": [server.port], "members": members // 2})
        joins = members // 2 / (server.cpu_ms() - cpu) * 1_000
        stage.wait(1.0, f"{kind}: idle members")
        grown = (server.resident_bytes() - resident) / (members // 2) / 1_024
        is_ours = kind == OURS
        figures.append(Figure(name=f"{kind}, idle member", value=grown, unit="KiB", most=20 if is_ours else None))
        figures.append(Figure(name=f"{kind}, joins", value=joins, unit="/s and core", least=3_000 if is_ours else None))
        for crowd in (first, second):
            crowd.finish()
        server.stop()


def _show(
    stage: Stage,
    arguments: argparse.Namespace,
    figures: list[Figure],
    rows: list[tuple[object, ...]],
    charts: list[Chart],
) -> None:
    server = start(stage, OURS)
    stalled = arguments.members // 100
    crowd = stage.generator(
        "chatters",
        {
            "ports": [server.port],
            "members": arguments.members,
            "speakers": 200,
            "say_per_s": 100,
            "likers": _LIKERS,
            "stalled": stalled,
        },
    )
    server.publish("card", per_s=0.2)
    stage.wait(3.0, "the show: settling")
    cpu, began = server.cpu_ms(), time.monotonic()
    resident = _watch(stage, server, arguments.seconds)
    cpu_share = (server.cpu_ms() - cpu) / (time.monotonic() - began) / 10
    server.publish("card", per_s=0)
    facts = server.facts()
    totals = _finish(stage, crowd)
    likes = server.facts()["likes"]
    card, shown = (Histogram.from_json(totals[name]) for name in ("card_delays", "delays"))
    charts.append(percentiles("From the publisher to a member", {"card": card, "shown danmaku": shown}))
    figures += [
        Figure(name="card, p99", value=card.percentile_ms(0.99), unit="ms", most=150),
        Figure(name="shown danmaku, p99", value=shown.percentile_ms(0.99), unit="ms", most=400),
        Figure(name="different card ledgers among readers", value=float(totals["card_ledgers"]), most=1),
        Figure(name="class A events withheld", value=float(facts["shed"]["A"]), most=0),
    ]
    rows += [
        ("members", arguments.members),
        ("of them stalled", stalled),
        ("danmaku said", totals["said"]),
        ("danmaku refused", sum(facts["refused"].values())),
        ("likes given / counted", f"{totals['liked']} / {likes}"),
        ("cards each reader got", totals["cards"]),
        ("packets delivered", facts["delivered"]),
        *((f"withheld from laggards, class {cls}", facts["shed"][cls]) for cls in _CLASSES),
        ("cut off", ", ".join(f"{reason} {count}" for reason, count in facts["aborted"].items()) or "nobody"),
        ("danmaku, median ms", shown.percentile_ms(0.5)),
        ("card, median ms", card.percentile_ms(0.5)),
        ("server, % of a core", cpu_share),
        ("server, resident MiB", resident / 2**20),
        ("members' process, CPU s", totals["cpu_ms"] / 1_000),
    ]
    server.stop()


def _watch(stage: Stage, server: RoomProcess, seconds: float) -> int:
    most = 0
    for _ in range(max(1, round(seconds / 5))):
        stage.wait(5.0, "the show")
        most = max(most, server.resident_bytes())
    return most


def _finish(stage: Stage, crowd: Generator) -> dict[str, Any]:
    totals = crowd.finish()
    crowd.stop()
    stage.wait(1.5, "the show: ending")
    return totals


def _kill(stage: Stage, kills: int, figures: list[Figure]) -> None:
    server = start(stage, OURS)
    _cycle(stage, server, kills // 5)
    stage.wait(1.0, "kills: settling")
    resident = server.resident_bytes()
    _cycle(stage, server, kills)
    stage.wait(1.0, "kills: settling")
    grown = (server.resident_bytes() - resident) / 1_024
    figures.append(Figure(name=f"resident growth after {kills} joined and killed", value=grown, unit="KiB", most=2_048))
    objects = server.facts().get("objects", {})
    figures.append(
        Figure(name="connections and members left behind", value=float(sum(objects.values())), unit="objects", most=0)
    )
    server.stop()


def _cycle(stage: Stage, server: RoomProcess, count: int) -> None:
    auth = frame('40{"room":"show"}')
    reset = struct.pack("ii", 1, 0)
    for start_at in range(0, count, 100):
        stage.say(f"kills: {start_at} of {count}")
        batch = []
        for index in range(100):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            connection.sendall(HANDSHAKE if index % 4 == 0 else HANDSHAKE + auth)
            batch.append((index, connection))
        for index, connection in batch:
            if index % 2:
                connection.recv(65_536)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.close()
