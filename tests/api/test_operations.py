"""`/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import asyncio

import pytest

from streamd.accounts.rooms import Rooms
from streamd.api import operations
from streamd.errors import UnavailableError
from tests.api.support import serve


async def fine() -> None:
    return


async def away() -> None:
    raise UnavailableError("the database does not answer", why="connection refused")


async def silent() -> None:
    await asyncio.Event().wait()


async def test_process_that_serves_is_healthy_whatever_else_is_away(rooms: Rooms) -> None:
    async with serve(rooms, checks={"database": away}) as client:
        answer = await client.get("/healthz")
        assert (answer.status, await answer.json()) == (200, {"status": "ok", "version": "1.2.3"})


async def test_node_is_ready_when_everything_answers(rooms: Rooms) -> None:
    async with serve(rooms, checks={"database": fine, "rtmp": fine}) as client:
        answer = await client.get("/readyz")
        body = {"status": "ready", "checks": {"database": "ok", "rtmp": "ok"}}
        assert (answer.status, await answer.json()) == (200, body)


async def test_node_is_not_ready_while_something_is_away_or_silent(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "CHECK_TIMEOUT_MS", 10)
    async with serve(rooms, checks={"database": away, "bus": silent, "rtmp": fine}) as client:
        answer = await client.get("/readyz")
        body = await answer.json()
    assert (answer.status, body["status"]) == (503, "not_ready")
    assert body["checks"] == {
        "database": "the database does not answer",
        "bus": "no answer within 10 ms",
        "rtmp": "ok",
    }


async def test_metrics_are_openmetrics_text(rooms: Rooms) -> None:
    async with serve(rooms) as client:
        answer = await client.get("/metrics")
        text = await answer.text()
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
