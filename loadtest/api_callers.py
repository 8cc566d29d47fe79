"""Callers of the JSON API at a fixed rate: `python -m loadtest.api_callers '{"port": …, "rate": 200, "calls": […]}'`.

An open loop: each call has its moment, whether the one before has been answered or not, and its time counts from that
moment. A server that stands still for a while is charged for everybody who would have called meanwhile. A line
`count` on standard input tells in between.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections import Counter
from typing import Any

import uvloop

from loadtest.buyers import answer
from loadtest.histogram import Histogram
from loadtest.machine import allow_many_files

_KEY = b"a-key-for-once"
_RUN = uuid.uuid4().hex.encode()


class Caller:
    """One kept connection; made anew after an error."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, request: bytes) -> str:
        """The status."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            writer.write(request)
            return await answer(reader)
        except (OSError, EOFError):
            self._streams = None
            return "lost"


def bytes_of(call: dict[str, Any]) -> bytes:
    """The request as it goes out."""
    body: bytes = call.get("body", "").encode()
    lines = [f"{call['method']} {call['path']} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    if call.get("is_once"):  # an Idempotency-Key of its own for each call
        lines.append(f"Idempotency-Key: {_KEY.decode()}")
    if call.get("token"):
        lines.append(f"Authorization: Bearer {call['token']}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def main(job: dict[str, Any]) -> None:
    """Call until standard input closes, then print what was seen."""
    allow_many_files()
    requests = [(call["name"], bytes_of(call)) for call in job["calls"]]
    idle = [Caller(job["port"]) for _ in range(job.get("connections", 64))]
    waited = {name: Histogram() for name, _ in requests}
    statuses: Counter[str] = Counter()
    over = asyncio.Event()

    async def one(number: int, due: float) -> None:
        name, request = requests[number % len(requests)]
        caller = idle.pop() if idle else Caller(job["port"])
        status = await caller.call(request.replace(_KEY, b"%s-%08d" % (_RUN, number)))
        waited[name].record(1e6 * (time.perf_counter() - due))
        statuses[f"{name} {status}"] += 1
        idle.append(caller)

    async def pace() -> None:
        began = time.perf_counter()
        number = 0
        while not over.is_set():
            due = began + number / job["rate"]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            calls.create_task(one(number, due))
            number += 1

    async with asyncio.TaskGroup() as calls:
        calls.create_task(pace())
        print(json.dumps({"ready": True}), flush=True)
        while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            print(json.dumps(_totals(waited, statuses)), flush=True)
        over.set()
    print(json.dumps(_totals(waited, statuses)), flush=True)


def _totals(waited: dict[str, Histogram], statuses: Counter[str]) -> dict[str, Any]:
    return {"waited": {name: one.as_json() for name, one in waited.items()}, "statuses": statuses}


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
