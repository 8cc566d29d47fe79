"""The sandbox gateway as a shop meets it: `PaymentGateway` over HTTP to `streamd sandbox-gateway`.

Requests and answers are JSON; requests are signed as the shop, messages that come in must be signed as the gateway.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from streamd.clock import Clock
from streamd.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from streamd.gateways.signing import sign, verify
from streamd.shop.gateway import BillLine, Charge, Notice, Opened, PaymentWord, RefundWord


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Where it is, and what both sides hold."""

    url: str  # http://host:port
    key: bytes
    timeout_s: float = 4.0


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Opened(_Answer):
    gateway_reference: str = Field(max_length=64)
    pay_url: str = Field(max_length=2_000)


class _Payment(_Answer):
    reference: str = Field(max_length=64)
    gateway_reference: str = Field(max_length=64)
    state: Literal["open", "paid", "closed"]
    amount_minor: int
    currency: str = Field(max_length=3)
    at_ms: int


class _Refund(_Answer):
    reference: str = Field(max_length=64)
    state: Literal["asked", "done", "failed"]
    amount_minor: int
    at_ms: int


class _Line(_Answer):
    kind: Literal["payment", "refund"]
    reference: str
    gateway_reference: str
    amount_minor: int
    currency: str
    at_ms: int


class _Bill(_Answer):
    lines: list[_Line]


class _Told(_Answer):
    id: str = Field(min_length=1, max_length=64)
    payment: _Payment | None = None
    refund: _Refund | None = None


class SandboxGateway:
    """See `streamd.shop.gateway.PaymentGateway`. Enter it before its first call: it keeps connections."""

    name = "sandbox"

    def __init__(self, *, settings: SandboxSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def open(self, charge: Charge) -> Opened:
        """Make a payment possible."""
        found = _Opened.model_validate(await self._call("POST", "/v1/charges", asdict(charge)))
        return Opened(**found.model_dump())

    async def query(self, reference: str) -> PaymentWord | None:
        """How a payment stands."""
        try:
            answer = await self._call("GET", f"/v1/charges/{reference}")
        except NotFoundError:
            return None
        return PaymentWord(**_Payment.model_validate(answer).model_dump())

    async def refund(self, *, reference: str, payment: str, amount_minor: int, notify_url: str) -> RefundWord:
        """Ask for money to go back."""
        asked = {"reference": reference, "payment": payment, "amount_minor": amount_minor, "notify_url": notify_url}
        return RefundWord(**_Refund.model_validate(await self._call("POST", "/v1/refunds", asked)).model_dump())

    async def bill(self, day: str) -> list[BillLine]:
        """All of a UTC day."""
        found = _Bill.model_validate(await self._call("GET", f"/v1/bills/{day}"))
        return [BillLine(**line.model_dump()) for line in found.lines]

    def read_notice(self, *, path: str, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """A message that came in, if the gateway signed it."""
        verify(
            self._settings.key, speaker="gateway", method="POST", path=path, headers=headers, body=body, now_ms=now_ms
        )
        try:
            told = _Told.model_validate_json(body)
        except ValidationError as error:
            raise InvalidError("this notification cannot be read", why=str(error)[:300], code="notice") from error
        if told.payment is not None:
            return Notice(id=told.id, word=PaymentWord(**told.payment.model_dump()))
        if told.refund is not None:
            return Notice(id=told.id, word=RefundWord(**told.refund.model_dump()))
        raise InvalidError("this notification says nothing", code="notice")

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        raw = b"" if body is None else TypeAdapter(dict[str, Any]).dump_json(dict(body))
        headers = sign(
            self._settings.key,
            speaker="shop",
            method=method,
            path=path,
            body=raw,
            timestamp_ms=self._clock.utc_ms(),
            nonce=secrets.token_hex(16),
        )
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s))
        url = self._settings.url + path
        try:
            # A signature is for one address: whoever sends us elsewhere is not followed.
            async with self._session.request(method, url, data=raw, headers=headers, allow_redirects=False) as answer:
                text = await answer.read()
                return self._read(answer.status, text)
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            raise self._away(str(error) or type(error).__name__) from error

    def _read(self, status: int, text: bytes) -> Any:
        if status == 404:
            raise NotFoundError("the gateway knows no such thing", code="gateway_unknown")
        if 400 <= status < 500 and status not in (408, 429):
            raise ConflictError(
                "the payment gateway refuses",
                why=text[:300].decode("utf-8", "replace"),
                fix="compare STREAMD_PAYMENT_KEY on both sides, and their clocks",
                code="gateway_refused",
            )
        if status >= 300:
            raise self._away(f"it answered {status}")
        return TypeAdapter(dict[str, Any]).validate_json(text)

    def _away(self, why: str) -> UnavailableError:
        host = urlsplit(self._settings.url).netloc
        return UnavailableError(
            "the payment gateway does not answer",
            why=f"{host}: {why[:200]}",
            fix="try again; if it stays, look at STREAMD_PAYMENT_URL",
            code="gateway_unavailable",
        )

    async def close(self) -> None:
        """Let its connections go."""
        if self._session is not None:
            async with asyncio.timeout(1):
                await self._session.close()
