"""What goes wrong in somebody's browser, in our log: `POST /api/v1/client-errors`.

Anybody may send; few are taken from one address, and little of each. Nothing is kept but the line in the log.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from streamd.accounts.throttle import Allowance, Throttle, charge
from streamd.api.bodies import Body
from streamd.api.permissions import Actor
from streamd.api.routes import Route
from streamd.errors import LimitedError
from streamd.telemetry.log import Log

_INTERVAL_MS, _BURST = 10_000, 20


class PageError(Body):
    """What a page says of its failure. Longer words are refused, not cut: the page cuts."""

    message: Annotated[str, Field(min_length=1, max_length=300)]
    page: Annotated[str, Field(max_length=200, description="the path of the page, without query and fragment")] = ""
    source: Annotated[str, Field(max_length=200, description="file, line and column")] = ""
    stack: Annotated[str, Field(max_length=2_000)] = ""
    failed_request: Annotated[
        str,
        Field(max_length=64, pattern=r"^[A-Za-z0-9_.-]*$", description="X-Request-ID of the answer that was not good"),
    ] = ""


class PageErrorsApi:
    """The handler."""

    def __init__(self, *, throttle: Throttle, log: Log) -> None:
        self._throttle = throttle
        self._log = log

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/v1/client-errors",
                handler=self.take,
                summary="A page tells of its failure",
                problems=(LimitedError,),
                repeatable=False,
            )
        ]

    async def take(self, *, body: PageError, actor: Actor) -> None:
        allowance = Allowance(name=f"page-error:{actor.address}", interval_ms=_INTERVAL_MS, burst=_BURST)
        await charge(self._throttle, [allowance], what="reports from this address")
        self._log.warning(
            "page.failed",
            message=body.message,
            page=body.page,
            source=body.source,
            stack=body.stack,
            failed_request=body.failed_request,
            user=actor.user.public_id if actor.user else "",
        )
