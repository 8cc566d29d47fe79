"""Buyers who order as fast as they are answered: `python -m loadtest.buyers '<job as JSON>'`, a `processes.Generator`.

The job: `port`, `room`, `tokens`, `skus`, `connections`. Each connection is one buyer's tap after the other, every one
with an Idempotency-Key of its own; requests are bytes made beforehand, so that little of the machine goes into asking.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import uvloop

from loadtest.histogram import Histogram


@dataclass(slots=True)
class Totals:
    """What all of them saw."""

    placed: int = 0
    refused: int = 0
    other: dict[str, int] = field(default_factory=dict)
    waited: Histogram = field(default_factory=Histogram)
    waited_us: float = 0.0


async def buy(job: dict[str, Any], index: int, totals: Totals, over: asyncio.Event) -> None:
    """One connection, until it is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", job["port"])
    token, skus = job["tokens"][index % len(job["tokens"])], job["skus"]
    turn = index
    try:
        while not over.is_set():
            body = json.dumps({"room": job["room"], "sku_id": skus[turn % len(skus)], "count": 1}).encode()
            turn += 1
            head = (
                "POST /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {token}\r\nIdempotency-Key: {uuid.uuid4()}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            began = time.perf_counter()
            writer.write(head.encode() + body)
            status = await answer(reader)
            waited_us = 1e6 * (time.perf_counter() - began)
            totals.waited.record(waited_us)
            totals.waited_us += waited_us
            if status == "201":
                totals.placed += 1
            elif status == "409":
                totals.refused += 1
            else:
                totals.other[status] = totals.other.get(status, 0) + 1
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> str:
    """The status; the rest is read and thrown away."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = next(int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
    await reader.readexactly(length)
    return head[9:12]


async def main(job: dict[str, Any]) -> None:
    totals, over = Totals(), asyncio.Event()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        for index in range(job["connections"]):
            group.create_task(buy(job, index, totals, over))
        print(json.dumps({"ready": True}), flush=True)
        began = time.perf_counter()
        await loop.run_in_executor(None, sys.stdin.read)
        over.set()
    seconds = time.perf_counter() - began
    # Who waits long orders less often: the orders that were not made meanwhile are put back.
    waited = totals.waited.paced(totals.waited_us / max(1, totals.waited.count))
    said = {
        "placed": totals.placed,
        "refused": totals.refused,
        "other": totals.other,
        "per_s": totals.placed / seconds,
        "p50_ms": waited.percentile_ms(0.5),
        "p99_ms": waited.percentile_ms(0.99),
        "waited": waited.as_json(),
    }
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
