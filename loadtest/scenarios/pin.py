"""From an assistant's click to the card on every screen: pins over HTTP in front of a full room on one node.

A pin goes the whole way: token, role, audit log, card and fact for the room in one transaction of the database, then
the outbox, the room's line, every member's socket. Members run in a process of their own on the same machine, with the
same clock; the time is from before the request to the member's socket.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtest.charts import percentiles
from loadtest.histogram import Histogram
from loadtest.machine import cpu_ms
from loadtest.peers import Streamd
from loadtest.report import Figure, Report, Table
from loadtest.shop_floor import ROOM, set_up
from loadtest.stage import Stage, open_stage

SUMMARY = "From a pin over HTTP to the card on every member's socket"
_TARGET_MS = 200.0
_GOODS = 9
_DISK = Path("/var/tmp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about a minute."""
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--pins", type=int, default=100)
    parser.add_argument("--pause-s", type=float, default=0.4, help="between an answer and the next pin")


def run(arguments: argparse.Namespace) -> Report:
    """One server, one room, one assistant who pins without rest."""
    with open_stage() as stage, TemporaryDirectory(prefix="streamd-pin-", dir=_DISK) as folder:
        data = Path(folder) / "data"
        url = f"sqlite+aiosqlite:///{data}/streamd.db"
        floor = set_up(url, data_dir=data, buyers=0, goods=_GOODS)
        settings = {"STREAMD_DATA_DIR": str(data), "STREAMD_DATABASE_URL": url}
        server = stage.server(Streamd(stage.folder / "streamd", settings=settings))
        crowd = stage.generator("chatters", {"ports": [server.http_port], "members": arguments.members, "room": ROOM})
        stage.wait(2.0, "settling")
        cpu, began = cpu_ms(server.pids()), time.monotonic()
        sent_us, answered_ms = _pin(stage, server, floor.host, arguments)
        share = (cpu_ms(server.pids()) - cpu) / (time.monotonic() - began) / 10
        stage.wait(1.0, "the last card")
        seen = {int(version): times for version, times in crowd.finish()["pinned_us"].items()}
    delays = Histogram.of_us(at - sent_us[version] for version in sent_us for at in seen.get(version, []))
    answers = Histogram.of_us(1_000 * one for one in answered_ms)
    missing = arguments.members * len(sent_us) - delays.count
    rows = (
        ("members", arguments.members),
        ("pins", len(sent_us)),
        ("pin to card, median ms", delays.percentile_ms(0.5)),
        ("pin to card, slowest ms", delays.percentile_ms(1.0)),
        ("pin to its answer, median ms", answers.percentile_ms(0.5)),
        ("pin to its answer, p99 ms", answers.percentile_ms(0.99)),
        ("server, % of a core", share),
    )
    return Report(
        scenario="pin",
        title="A pin in front of a full room",
        command="",
        figures=(
            Figure(name="pin to card, p99", value=delays.percentile_ms(0.99), unit="ms", most=_TARGET_MS),
            Figure(name="cards that a member missed", value=float(missing), most=0),
        ),
        tables=(Table(title="The pins", columns=("what", "value"), rows=rows), stage.meter.table()),
        charts=(
            percentiles("From a pin", {"card on a screen": delays, "answer to the pinner": answers}),
            *stage.meter.charts(),
        ),
        notes=("SQLite on the disk of /var/tmp, WAL, synchronous NORMAL; one worker; nobody talks in the room.",),
    )


def _pin(
    stage: Stage, server: Streamd, token: str, arguments: argparse.Namespace
) -> tuple[dict[int, int], list[float]]:
    """When each pin was sent, by the version it made, and how long its answer took."""
    sent_us: dict[int, int] = {}
    answered_ms: list[float] = []
    for number in range(arguments.pins):
        stage.say(f"pin {number + 1} of {arguments.pins}")
        at_us = time.monotonic_ns() // 1_000
        card = _put(server, token, 1 + number % _GOODS)
        answered_ms.append(time.monotonic_ns() / 1_000_000 - at_us / 1_000)
        sent_us[int(card["version"])] = at_us
        time.sleep(arguments.pause_s)
    stage.say("")
    return sent_us, answered_ms


def _put(server: Streamd, token: str, product_id: int) -> dict[str, Any]:
    url = server.http_url(f"/api/v1/rooms/{ROOM}/card")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"product_id": product_id}).encode()
    request = urllib.request.Request(url, data=body, headers=headers, method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        card: dict[str, Any] = json.load(answer)
    return card
