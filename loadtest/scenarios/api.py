"""The JSON API beside live streams: how long callers wait, and what it costs to know who they are."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from loadtest.charts import percentiles
from loadtest.histogram import Histogram
from loadtest.peers import Streamd, open_rooms
from loadtest.report import Figure, Report, Table
from loadtest.scenarios.ingest import publish
from loadtest.shop_floor import ROOM, Floor, set_up
from loadtest.stage import open_stage
from streamd.accounts.opening import open_accounts
from streamd.clock import SystemClock
from streamd.cluster.rates import InProcessRates
from streamd.db.engine import open_engine
from streamd.telemetry.log import get_log

SUMMARY = "API calls at a fixed rate beside live streams: waiting times, and the cost of an access check"
_DISK = Path("/var/tmp")
_BUYERS = 40
_CHECKS = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about a minute."""
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200.0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=30.0)


def run(arguments: argparse.Namespace) -> Report:
    """One worker, SQLite, streams on air, callers who do not wait for each other."""
    names = [f"stream-{index}" for index in range(arguments.streams)]
    with open_stage() as stage, TemporaryDirectory(prefix="streamd-api-", dir=_DISK) as folder:
        data = Path(folder) / "data"
        url = f"sqlite+aiosqlite:///{data}/streamd.db"
        floor = set_up(url, data_dir=data, buyers=_BUYERS, goods=9)
        open_rooms(url, names)
        check_us = asyncio.run(_access_check(url, data, floor))
        settings = {"STREAMD_DATA_DIR": str(data), "STREAMD_DATABASE_URL": url}
        server = stage.server(Streamd(stage.folder / "streamd", settings=settings))
        publish(stage, server, names, lean=True)
        stage.wait(8.0, "streams on air")
        job = {"port": server.http_port, "rate": arguments.rate, "calls": _calls(floor, names)}
        callers = stage.generator("api_callers", job)
        busy = stage.cpu_of({"streamd": server.pids()}, arguments.seconds, "calling")["streamd"]
        seen = callers.finish()
    waits = {name: Histogram.from_json(said) for name, said in seen["waited"].items()}
    waited = Histogram()
    for one in waits.values():
        waited.add(one)
    rows = [(name, one.count, *one.summary_ms()) for name, one in waits.items()]
    wrong = [f"{what}: {count}" for what, count in seen["statuses"].items() if not what.endswith(("200", "201"))]
    return Report(
        scenario="api",
        title=f"API: {arguments.rate:g} calls a second beside {arguments.streams} streams",
        command="",
        figures=(
            Figure(name="waiting time, p99", value=waited.percentile_ms(0.99), unit="ms", most=25),
            Figure(name="waiting time, median", value=waited.percentile_ms(0.5), unit="ms"),
            Figure(name="access check: token, account, role in the room", value=check_us, unit="µs", most=50),
            Figure(name="server, % of a core", value=busy / 10),
        ),
        tables=(
            Table(
                title="Calls",
                columns=("what", "count", "median ms", "p90", "p99", "p99.9", "longest"),
                rows=tuple(rows),
            ),
            stage.meter.table(),
        ),
        charts=(percentiles("Waiting time by call", waits), *stage.meter.charts()),
        errors=tuple(wrong),
        notes=(
            "Waiting time from the moment a call was due, whether or not those before it had been answered.",
            "One worker, SQLite on the disk of /var/tmp; one call in twenty changes something (a pin).",
        ),
    )


def _calls(floor: Floor, rooms: list[str]) -> list[dict[str, str]]:
    """A round of calls as they mix: many who look, some who are signed in, one who pins."""
    calls: list[dict[str, str]] = []
    for index in range(_BUYERS):
        calls += [
            {"name": "rooms", "method": "GET", "path": "/api/v1/rooms?limit=20"},
            {"name": "room", "method": "GET", "path": f"/api/v1/rooms/{rooms[index % len(rooms)]}"},
            {"name": "health", "method": "GET", "path": f"/api/v1/rooms/{rooms[index % len(rooms)]}/stream"},
            {"name": "shelf", "method": "GET", "path": f"/api/v1/rooms/{ROOM}/products"},
            {"name": "my orders", "method": "GET", "path": "/api/v1/orders", "token": floor.tokens[index]},
        ]
        if index % 4 == 3:
            pin = json.dumps({"product_id": 1 + index % 9})
            calls.append(
                {"name": "pin", "method": "PUT", "path": f"/api/v1/rooms/{ROOM}/card", "token": floor.host, "body": pin}
            )
    return calls


async def _access_check(url: str, data: Path, floor: Floor) -> float:
    """Microseconds, median of single checks: whose token, still good, and which role in the room."""
    engine, clock = open_engine(url), SystemClock()
    try:
        rates = InProcessRates(clock=clock)
        accounts = open_accounts(engine=engine, clock=clock, data_dir=data, throttle=rates, log=get_log("accounts"))
        taken_us = []
        for number in range(_CHECKS):
            token = floor.tokens[number % len(floor.tokens)]
            began_ns = time.perf_counter_ns()
            person = await accounts.identities.person(token)
            await accounts.identities.role(person.user, ROOM)
            taken_us.append((time.perf_counter_ns() - began_ns) / 1_000)
        return median(taken_us)
    finally:
        await engine.dispose()
