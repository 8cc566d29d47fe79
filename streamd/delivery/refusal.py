"""A `StreamdError` as the answer to a player: status, Retry-After, one line of text, open to any origin.

Players read the status and the header; the text is for whoever opens the address by hand.
"""

from __future__ import annotations

from aiohttp import web

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

_STATUS: dict[type[StreamdError], int] = {
    InvalidError: 400,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    LimitedError: 429,
    UnavailableError: 503,
}


def refusal(error: StreamdError) -> web.Response:
    """The answer. An error of a kind that no player can have caused is a 500."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
    retry_after_ms: int | None = getattr(error, "retry_after_ms", None)
    if retry_after_ms is not None:
        headers["Retry-After"] = str(-(-retry_after_ms // 1_000))
    return web.Response(status=status, text=f"{error.one_line()}\n", headers=headers)
