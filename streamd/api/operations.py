"""For those who run the server: `/healthz`, `/readyz`, `/metrics`.

`/healthz` says that the process serves requests, and nothing else: a restart mends nothing that is wrong elsewhere.
`/readyz` asks everything the node depends on and answers 503 while one of it is away, so that a load balancer waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from pydantic import BaseModel, Field

from streamd.api.routes import Route
from streamd.errors import StreamdError
from streamd.telemetry.metrics import CONTENT_TYPE

CHECK_TIMEOUT_MS = 2_000
Check = Callable[[], Awaitable[None]]


class Health(BaseModel):
    """The process serves."""

    status: str = "ok"
    version: str


class Readiness(BaseModel):
    """What the node depends on."""

    status: str = Field(description="ready or not_ready")
    checks: dict[str, str] = Field(description="ok, or why not, by what was asked")


class OperationsApi:
    """The handlers. A check returns, or raises a `StreamdError` that says what is away; `page` makes the metrics'."""

    def __init__(self, *, page: Callable[[], Awaitable[bytes]], checks: Mapping[str, Check], version: str) -> None:
        self._page = page
        self._checks = checks
        self._version = version

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/healthz",
                handler=self.health,
                summary="Whether the process serves",
                area="operations",
            ),
            Route(
                method="GET",
                path="/readyz",
                handler=self.readiness,
                summary="Whether everything it depends on answers (503 if not)",
                area="operations",
            ),
            Route(
                method="GET",
                path="/metrics",
                handler=self.metrics,
                summary="Metrics in OpenMetrics text",
                area="operations",
            ),
        ]

    async def health(self) -> Health:
        return Health(version=self._version)

    async def readiness(self) -> web.StreamResponse:
        async with asyncio.TaskGroup() as group:
            asked = {name: group.create_task(_ask(check)) for name, check in self._checks.items()}
        answers = {name: task.result() for name, task in asked.items()}
        is_ready = all(answer == "ok" for answer in answers.values())
        body = Readiness(status="ready" if is_ready else "not_ready", checks=answers)
        return web.Response(
            status=200 if is_ready else 503,
            text=body.model_dump_json(),
            content_type="application/json",
            charset="utf-8",
        )

    async def metrics(self) -> web.StreamResponse:
        return web.Response(body=await self._page(), headers={"Content-Type": CONTENT_TYPE})


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_MS / 1_000):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_MS} ms"
    except StreamdError as error:
        return error.what
    return "ok"
