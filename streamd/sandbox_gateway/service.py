"""The sandbox gateway over HTTP: an API for shops, signed both ways, and a page for who pays.

POST /v1/charges {reference, amount_minor, currency, title, expires_at_ms, notify_url, return_url}
GET  /v1/charges/REFERENCE          how it stands
POST /v1/refunds {reference, payment, amount_minor, notify_url}
GET  /v1/bills/YYYY-MM-DD           what moved on that UTC day
GET  /pay/TOKEN, POST /pay/TOKEN    the page; action=pay | fail | late | twice
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamd.clock import Clock
from streamd.errors import ConflictError, InvalidError, NotFoundError, StreamdError, UnauthenticatedError
from streamd.gateways.signing import verify
from streamd.sandbox_gateway import pages
from streamd.sandbox_gateway.ledger import Asked, Charge, Ledger
from streamd.sandbox_gateway.notifier import Notifier, message
from streamd.telemetry.log import Log

_TICK_S: Final = 0.2
_DAY_MS: Final = 86_400_000
_BODY_LIMIT_BYTES: Final = 64 << 10
_STATUSES: Final[tuple[tuple[type[StreamdError], int], ...]] = (
    (UnauthenticatedError, 401),
    (NotFoundError, 404),
    (ConflictError, 409),
)
_Http = Annotated[str, Field(pattern=r"^https?://", max_length=2_000)]
_Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
_Amount = Annotated[int, Field(ge=1, le=1 << 53)]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """`origin` is where browsers reach the page. `scale` shortens the pauses between repeats of a notice."""

    key: bytes
    origin: str
    scale: float = 1.0
    refund_delay_ms: int = 2_000


class _ChargeAsked(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    reference: _Reference
    amount_minor: _Amount
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    title: Annotated[str, Field(max_length=400)]
    expires_at_ms: int
    notify_url: _Http
    return_url: _Http


class _RefundAsked(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    reference: _Reference
    payment: _Reference
    amount_minor: _Amount
    notify_url: _Http


class GatewayService:
    """See the module's promise. `run` makes happen what takes its time."""

    def __init__(self, *, settings: GatewaySettings, clock: Clock, log: Log) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = Ledger(refund_delay_ms=settings.refund_delay_ms)
        self._notifier = Notifier(key=settings.key, clock=clock, log=log, scale=settings.scale)

    def application(self) -> web.Application:
        """To be served."""
        application = web.Application(client_max_size=_BODY_LIMIT_BYTES, middlewares=[_answering])
        application.add_routes(
            [
                web.post("/v1/charges", self._open),
                web.get("/v1/charges/{reference}", self._query),
                web.post("/v1/refunds", self._refund),
                web.get("/v1/bills/{day}", self._bill),
                web.get("/pay/{token}", self._page),
                web.post("/pay/{token}", self._act),
                web.get("/healthz", self._healthy),
            ]
        )
        return application

    async def run(self) -> None:
        """For as long as it is served. Cancel-safe: yes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notifier.run())
            while True:
                await asyncio.sleep(_TICK_S)
                self.advance()

    def advance(self) -> None:
        """Tell of what has come about by now."""
        paid, done = self._ledger.advance(self._clock.utc_ms())
        for charge in paid:
            self._announce(charge)
        for refund in done:
            self._notifier.tell(message(refund.notify_url, refund=refund.word()))

    def _announce(self, charge: Charge) -> None:
        self._notifier.tell(message(charge.asked.notify_url, payment=charge.word()))

    # --- for shops ---

    async def _verified(self, request: web.Request) -> bytes:
        body = await request.read()
        verify(
            self._settings.key,
            speaker="shop",
            method=request.method,
            path=request.path,
            headers=request.headers,
            body=body,
            now_ms=self._clock.utc_ms(),
        )
        return body

    async def _open(self, request: web.Request) -> web.Response:
        asked = _parse(_ChargeAsked, await self._verified(request))
        charge = self._ledger.open(Asked(**asked.model_dump()), self._clock.utc_ms())
        pay_url = f"{self._settings.origin}/pay/{charge.token}"
        return web.json_response({"gateway_reference": charge.gateway_reference, "pay_url": pay_url})

    async def _query(self, request: web.Request) -> web.Response:
        await self._verified(request)
        return web.json_response(self._ledger.charge(request.match_info["reference"]).word())

    async def _refund(self, request: web.Request) -> web.Response:
        asked = _parse(_RefundAsked, await self._verified(request))
        refund, _ = self._ledger.refund(**asked.model_dump(), now_ms=self._clock.utc_ms())
        return web.json_response(refund.word())

    async def _bill(self, request: web.Request) -> web.Response:
        await self._verified(request)
        try:
            start = datetime.strptime(request.match_info["day"], "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError as error:
            raise InvalidError("a day is written as 2026-11-21") from error
        start_ms = int(start.timestamp() * 1_000)
        return web.json_response({"lines": list(self._ledger.bill(start_ms, start_ms + _DAY_MS))})

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    # --- for who pays ---

    async def _page(self, request: web.Request) -> web.Response:
        language = pages.language_of(request.headers.get("Accept-Language", ""))
        nonce = secrets.token_urlsafe(16)
        try:
            charge = self._ledger.by_token(request.match_info["token"])
        except NotFoundError:
            return _html(pages.missing_page(language=language, nonce=nonce), nonce=nonce, status=404)
        return _html(pages.pay_page(charge, language=language, nonce=nonce), nonce=nonce)

    async def _act(self, request: web.Request) -> web.Response:
        charge = self._ledger.by_token(request.match_info["token"])
        form = await request.post()
        now_ms = self._clock.utc_ms()
        notices = 1
        match form.get("action"):
            case "pay":
                is_news = self._ledger.pay(charge, now_ms)
            case "twice":
                is_news, notices = self._ledger.pay(charge, now_ms), 2
            case "fail":
                is_news = self._ledger.fail(charge, now_ms)
            case "late":
                is_news, notices = self._ledger.pay_late(charge, now_ms), 0
            case _:
                raise InvalidError("choose one of the buttons")
        for _ in range(notices if is_news else 0):
            self._announce(charge)
        # Only the path: whichever way the browser came here, it goes back that way.
        return web.Response(status=303, headers={"Location": request.path})


async def serve(
    *, settings: GatewaySettings, listener: socket.socket, clock: Clock, log: Log, stopping: asyncio.Event
) -> None:
    """Serve on `listener`, which is ours from now on, until `stopping` is set. Cancel-safe: yes."""
    service = GatewayService(settings=settings, clock=clock, log=log)
    runner = web.AppRunner(service.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        log.info("sandbox.ready", origin=settings.origin)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(service.run())
            await stopping.wait()
            task.cancel()
    finally:
        await runner.cleanup()


@web.middleware
async def _answering(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except StreamdError as error:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 400)
        body = {"code": error.code, "detail": f"{error.what}: {error.why}" if error.why else error.what}
        return web.json_response(body, status=status)


def _parse(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidError("this request cannot be read", why=str(error)[:300]) from error


def _html(text: str, *, nonce: str, status: int = 200) -> web.Response:
    headers = {
        "Content-Security-Policy": pages.policy(nonce),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)
