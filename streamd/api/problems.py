"""Errors as RFC 9457 problem+json: the one place that knows which kind of `StreamdError` is which HTTP status."""

from __future__ import annotations

import math

from aiohttp import web
from pydantic import BaseModel, Field

from streamd.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LimitedError,
    NotFoundError,
    StreamdError,
    UnauthenticatedError,
    UnavailableError,
)

MEDIA_TYPE = "application/problem+json"
# Kind, status, title. The first that fits counts; what fits none is our own fault.
KINDS: tuple[tuple[type[StreamdError], int, str], ...] = (
    (InvalidError, 400, "The request cannot be meant as it stands"),
    (UnauthenticatedError, 401, "Sign in first"),
    (ForbiddenError, 403, "Not allowed"),
    (NotFoundError, 404, "Not found"),
    (ConflictError, 409, "The present state does not allow it"),
    (LimitedError, 429, "Too much or too often"),
    (UnavailableError, 503, "A part this depends on is away"),
)
INTERNAL = (500, "The server failed")


class Problem(BaseModel):
    """What went wrong, why, and what mends it (RFC 9457)."""

    type: str = Field(description="urn:streamd:problem: and the code")
    title: str = Field(description="the kind of problem; the same for every problem of its status")
    status: int
    code: str = Field(description="a stable word for programs")
    detail: str = Field(description="what happened, and why")
    fix: str = Field(description="what mends it; empty where nothing can be said")


def kind_of(error: type[StreamdError]) -> tuple[int, str]:
    """Status and title."""
    return next(((status, title) for kind, status, title in KINDS if issubclass(error, kind)), INTERNAL)


def problem(error: StreamdError) -> web.Response:
    """The answer that says `error`."""
    status, title = kind_of(type(error))
    detail = f"{error.what}: {error.why}" if error.why else error.what
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="streamd"'
    retry_after_ms: int | None = getattr(error, "retry_after_ms", None)
    if retry_after_ms is not None:
        # Whole seconds by RFC 9110; rounded up, or a client that obeys comes back too early.
        headers["Retry-After"] = str(math.ceil(retry_after_ms / 1_000))
    return render(status=status, title=title, code=error.code, detail=detail, fix=error.fix, headers=headers)


def render(
    *, status: int, title: str, code: str, detail: str, fix: str = "", headers: dict[str, str] | None = None
) -> web.Response:
    """A problem that is not a `StreamdError`: wrong method, oversized body, our own fault."""
    body = Problem(type=f"urn:streamd:problem:{code}", title=title, status=status, code=code, detail=detail, fix=fix)
    return web.Response(
        status=status, text=body.model_dump_json(), content_type=MEDIA_TYPE, charset="utf-8", headers=headers
    )
