"""How many orders one worker takes in a second, over HTTP, on SQLite and on MariaDB, and what they cost it.

Buyers order in a closed loop on one machine with the server and the database: what they cost themselves is taken from
the server, so the rate is a floor.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtest.charts import percentiles
from loadtest.databases import MariaDb
from loadtest.histogram import Histogram
from loadtest.machine import cpu_ms
from loadtest.peers import Streamd
from loadtest.report import Figure, Report, Table, sampled
from loadtest.shop_floor import ROOM, set_up
from loadtest.stage import Stage, open_stage

SUMMARY = "orders a second by one worker, on SQLite and MariaDB"
_TARGETS = {"SQLite": 300.0, "MariaDB": 500.0}
_SETTLE_S = 3.0
_DISK = Path("/var/tmp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Defaults: about two minutes."""
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=100, help="buyers who wait for an answer at a time")
    parser.add_argument("--buyers", type=int, default=50, help="accounts")
    parser.add_argument("--goods", type=int, default=20, help="SKUs that they buy of")
    parser.add_argument("--only", choices=[name.lower() for name in _TARGETS], help="one database")


@dataclass(frozen=True, slots=True)
class _Window:
    """One window of one database."""

    per_s: float
    p50_ms: float
    p99_ms: float
    server_ms: float  # CPU an order
    database_ms: float
    other: dict[str, int]
    waited: Histogram


def run(arguments: argparse.Namespace) -> Report:
    """One database after the other."""
    figures: list[Figure] = []
    rows: list[tuple[object, ...]] = []
    errors: list[str] = []
    waits: dict[str, Histogram] = {}
    for name, target in _TARGETS.items():
        if arguments.only not in (None, name.lower()):
            continue
        windows = [
            *_windows(name, [1], arguments),
            *_windows(name, list(range(1, arguments.goods + 1)), arguments),
        ]
        few, many = windows[: arguments.windows], windows[arguments.windows :]
        for title, found in ((f"{name}, one SKU", few), (f"{name}, {arguments.goods} SKUs", many)):
            figures.append(sampled(title, [one.per_s for one in found], unit="orders/s", least=target))
            rows += [(title, one.per_s, one.p50_ms, one.p99_ms, one.server_ms, one.database_ms) for one in found]
            errors += [f"{title}: {one.other}" for one in found if one.other]
            waits[title] = Histogram()
            for one in found:
                waits[title].add(one.waited)
    columns = ("run", "orders/s", "p50 ms", "p99 ms", "worker CPU ms an order", "mariadbd CPU ms an order")
    return Report(
        scenario="orders",
        title="Orders by one worker",
        command="",
        figures=tuple(figures),
        tables=(Table(title="Windows", columns=columns, rows=tuple(rows)),),
        charts=(percentiles("Wait for an order", waits),),
        notes=(
            f"{arguments.connections} connections, each with one order at a time, of {arguments.buyers} accounts; "
            "POST /api/v1/orders with an Idempotency-Key, through the whole API: token, limits, price, stock, buyer's "
            "count, the order and its first step, its expiry as a job, and the facts for the room.",
            "SQLite: WAL, synchronous NORMAL. MariaDB: flushed at each commit. Both on the disk of /var/tmp.",
            "Waits are corrected for coordinated omission by the mean wait, as of callers who keep their pace.",
            "Buyers, worker and database share the machine's cores.",
        ),
        errors=tuple(errors),
    )


def _windows(database: str, skus: list[int], arguments: argparse.Namespace) -> list[_Window]:
    """A fresh database and a fresh server."""
    with ExitStack() as ending:
        stage = ending.enter_context(open_stage())
        # On a disk: the stage's own folder is in memory, where being durable costs nothing.
        folder = Path(ending.enter_context(TemporaryDirectory(prefix="streamd-orders-", dir=_DISK)))
        data = folder / "data"
        maria = MariaDb(folder / "mariadb") if database == "MariaDB" else None
        if maria:
            ending.callback(maria.stop)
        url = maria.url if maria else f"sqlite+aiosqlite:///{data}/streamd.db"
        floor = set_up(url, data_dir=data, buyers=arguments.buyers, goods=arguments.goods)
        settings = {"STREAMD_DATA_DIR": str(data), "STREAMD_DATABASE_URL": url, "STREAMD_API_WRITES_PER_S": "1000"}
        server = stage.server(Streamd(stage.folder / "streamd", settings=settings))
        job = {
            "port": server.http_port,
            "room": ROOM,
            "tokens": floor.tokens,
            "skus": skus,
            "connections": arguments.connections,
        }
        groups = {"server": server.pids(), "database": maria.pids() if maria else []}
        _window(stage, job, groups, _SETTLE_S)
        return [_window(stage, job, groups, arguments.window_s) for _ in range(arguments.windows)]


def _window(stage: Stage, job: dict[str, Any], groups: dict[str, list[int]], seconds: float) -> _Window:
    before = {name: cpu_ms(pids) for name, pids in groups.items()}
    buyers = stage.generator("buyers", job)
    stage.wait(seconds, "buying")
    said = buyers.finish()
    used = {name: cpu_ms(pids) - before[name] for name, pids in groups.items()}
    placed = max(1, said["placed"])
    return _Window(
        per_s=said["per_s"],
        p50_ms=said["p50_ms"],
        p99_ms=said["p99_ms"],
        server_ms=used["server"] / placed,
        database_ms=used["database"] / placed,
        other=said["other"],
        waited=Histogram.from_json(said["waited"]),
    )
