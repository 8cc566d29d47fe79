"""Bodies on their way in: read for as long as they may take, and a file as far as it may be large."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from aiohttp import web

from streamd.errors import InvalidError
from streamd.pictures.recode import UPLOAD_LIMIT_BYTES

_T = TypeVar("_T")
# A phone with a poor connection sends a picture of some megabytes in it; nobody holds a handler for longer.
ARRIVAL_S: Final = 30.0

PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp")


async def arriving(body: Awaitable[_T], *, within_s: float = ARRIVAL_S) -> _T:
    """What `body` gives, within that time. Cancel-safe: yes. Raises InvalidError when the peer is slow, or gone."""
    try:
        async with asyncio.timeout(within_s):
            return await body
    except TimeoutError:
        raise InvalidError("the body took too long to arrive", fix="send it at once", code="body_slow") from None
    except ConnectionResetError:
        # Nobody hears this; but it is the peer's end, and not a failure of ours.
        raise InvalidError("the connection ended within the body", code="body_cut_off") from None


async def upload(request: web.Request) -> bytes:
    """The body, or as much of it as shows that it is too large. Raises as `arriving` does."""
    return await arriving(_read(request))


async def _read(request: web.Request) -> bytes:
    data = bytearray()
    async for chunk in request.content.iter_chunked(64 * 1024):
        data += chunk
        if len(data) > UPLOAD_LIMIT_BYTES:
            break
    return bytes(data)
