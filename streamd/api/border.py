"""What stands before every handler of the API: who is calling, how often, and whether they may; and what stands around
the handlers of staff and of repeated requests.

In this order: credential (401), rate (429), role (401, 403), then the handler with what `routes` has parsed for it. A
request with an Idempotency-Key is done once and answered as often as it comes. What staff do is recorded before it is
done: a deed that cannot be recorded is not done, and one that fails is recorded as failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiohttp import web
from pydantic import BaseModel

from streamd.accounts.audit import Deed
from streamd.accounts.identities import Person
from streamd.accounts.kept_answers import KeptAnswer
from streamd.accounts.roles import GUEST
from streamd.accounts.throttle import Allowance, Throttle, charge
from streamd.accounts.users import User
from streamd.api import problems
from streamd.api.permissions import Actor, Require, refuse
from streamd.errors import InvalidError, LimitedError, StreamdError, UnauthenticatedError, UnavailableError

KEY_LIMIT = 200
AddressOf = Callable[[web.Request], str]


class WhoIs(Protocol):
    """Knows people and what they are in rooms: `streamd.accounts.identities.Identities`."""

    async def person(self, access_token: str) -> Person:
        """Raises UnauthenticatedError, ForbiddenError."""
        ...

    async def role(self, user: User, room: str) -> str:
        """In a room."""
        ...


class Recorder(Protocol):
    """The audit log."""

    async def record(self, deed: Deed) -> int:
        """The entry's number."""
        ...


class Answers(Protocol):
    """See `streamd.accounts.kept_answers.KeptAnswers`."""

    async def claim(self, *, caller: str, key: str, request: bytes) -> tuple[str, KeptAnswer | None]: ...
    async def keep(self, handle: str, answer: KeptAnswer) -> None: ...
    async def drop(self, handle: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRates:
    """How often one caller may. Guests are counted by address, and a phone network has few of those."""

    read_interval_ms: int = 2
    read_burst: int = 2_000
    write_interval_ms: int = 100
    write_burst: int = 60
    guest_write_interval_ms: int = 20
    guest_write_burst: int = 300


class Border:
    """See the module's promise."""

    def __init__(
        self,
        *,
        who: WhoIs,
        throttle: Throttle,
        recorder: Recorder,
        answers: Answers,
        address_of: AddressOf,
        rates: CallRates | None = None,
    ) -> None:
        self._who = who
        self._throttle = throttle
        self._recorder = recorder
        self._answers = answers
        self._address_of = address_of
        self._rates = rates or CallRates()

    async def admit(self, request: web.Request, wanted: Require | None) -> Actor:
        """Who is calling, if they may. Raises UnauthenticatedError, ForbiddenError, LimitedError."""
        token = _bearer(request)
        person = await self._who.person(token) if token else None
        role = GUEST if person is None else person.user.role
        if person is not None and wanted is not None and wanted.room:
            role = await self._who.role(person.user, request.match_info[wanted.room])
        actor = Actor(
            user=person.user if person else None,
            role=role,
            session=person.session if person else "",
            address=self._address_of(request),
            request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
        )
        what = "requests from this account" if person else "requests from this address"
        await charge(self._throttle, [self._allowance(actor, request)], what=what)
        if wanted is not None:
            refuse(actor, wanted)
        return actor

    def _allowance(self, actor: Actor, request: web.Request) -> Allowance:
        rates = self._rates
        if request.method in ("GET", "HEAD"):
            return Allowance(name=f"read:{actor.caller}", interval_ms=rates.read_interval_ms, burst=rates.read_burst)
        name = f"write:{actor.caller}"
        if actor.user is None:
            return Allowance(name=name, interval_ms=rates.guest_write_interval_ms, burst=rates.guest_write_burst)
        return Allowance(name=name, interval_ms=rates.write_interval_ms, burst=rates.write_burst)

    async def recorded(
        self,
        request: web.Request,
        actor: Actor,
        *,
        action: str,
        detail: BaseModel | None,
        do: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Do it, in the audit log."""
        parameters: Mapping[str, str] = request.match_info
        deed: dict[str, Any] = {
            "actor": actor.account.name,
            "role": actor.role,
            "room": parameters.get("room", "")[:63],
            "target": "/".join(value for name, value in parameters.items() if name != "room"),
            "address": actor.address,
            "request_id": actor.request_id,
        }
        # Secrets are of type SecretStr, and shown as asterisks.
        told = detail.model_dump(mode="json", exclude_unset=True) if detail is not None else {}
        entry = await self._recorder.record(Deed(action=action, detail=told, **deed))
        try:
            return await do()
        except StreamdError as error:
            failure = {"entry": entry, "code": error.code}
            await self._recorder.record(Deed(action=f"{action}.failed", detail=failure, **deed))
            raise

    async def once(
        self, request: web.Request, actor: Actor, *, body: bytes, do: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Do it, unless the request's Idempotency-Key says that it was done: then the answer it got."""
        key = idempotency_key(request)
        if key is None:
            return await do()
        asked = f"{request.method} {request.path_qs}\0".encode() + body
        handle, kept = await self._answers.claim(caller=actor.caller, key=key, request=asked)
        if kept is not None:
            headers = {"Idempotent-Replayed": "true"}
            return web.Response(status=kept.status, body=kept.body, headers=headers, content_type=_type(kept.status))
        is_kept = False
        try:
            try:
                response = await do()
            except (LimitedError, UnavailableError, UnauthenticatedError):
                raise  # nothing was done, and it may go better next time
            except StreamdError as error:
                response = problems.problem(error)
            if isinstance(response, web.Response) and response.status < 500:
                content = response.body if isinstance(response.body, bytes) else b""
                await self._answers.keep(handle, KeptAnswer(status=response.status, body=content))
                is_kept = True
            return response
        finally:
            if not is_kept:
                await self._answers.drop(handle)


def idempotency_key(request: web.Request) -> str | None:
    """What the caller sent, if anything. Raises InvalidError."""
    key = request.headers.get("Idempotency-Key")
    if key is None or (1 <= len(key) <= KEY_LIMIT and all("!" <= character <= "~" for character in key)):
        return key
    raise InvalidError(
        "this Idempotency-Key cannot be used",
        why=f"it is 1 to {KEY_LIMIT} letters, digits and marks, without spaces",
        fix="send a UUID",
        code="idempotency_key",
    )


def _type(status: int) -> str:
    return problems.MEDIA_TYPE if status >= 400 else "application/json"


def _bearer(request: web.Request) -> str:
    given = request.headers.get("Authorization")
    if given is None:
        return ""
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError(
            "this Authorization header cannot be used",
            fix="send `Authorization: Bearer ACCESS_TOKEN`, or leave it out",
            code="token_invalid",
        )
    return token.strip()
