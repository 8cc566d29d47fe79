"""An answer that is written to the connection as it stands: head and body made once, for every viewer who gets it.

In: chunks of bytes, head first. Out: the same bytes, past aiohttp's own header machinery. A thousand viewers who wait
for one playlist are answered in one burst, and what an answer costs decides how late the last of them is.
Nothing that sees the response on its way out (a middleware, a signal) can add to it. A peer that takes nothing for too
long is cut off: what it was sent would stay in memory for it. Source: RFC 9112 for the head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest


def head(
    *, status: int = 200, content_type: str, length: int, cache_control: str, date: str, gzip: bool, persistent: bool
) -> bytes:
    """Status line and headers of an answer that any origin may read. `date`: HTTP-date of the moment it is sent."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {length}",
        f"Date: {date}",
        f"Cache-Control: {cache_control}",
        "Access-Control-Allow-Origin: *",
        "Access-Control-Expose-Headers: Age, Date, Content-Length",
    ]
    if gzip:
        lines.append("Content-Encoding: gzip")
    if content_type == PLAYLIST:
        lines.append("Vary: Accept-Encoding")
    if not persistent:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


PLAYLIST = "application/vnd.apple.mpegurl"


class Prebuilt(web.StreamResponse):
    """See the module's promise. `chunks[0]` is the head; the other chunks are left out for a HEAD request."""

    def __init__(self, chunks: Sequence[bytes], *, persistent: bool, patience_ms: int = 30_000) -> None:
        super().__init__()
        self._chunks = chunks
        self._persistent = persistent
        self._patience_ms = patience_ms

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open, as the head says."""
        return self._persistent

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Write everything, and wait while the peer is slow to take it."""
        transport = request.transport
        if self._eof_sent or transport is None or transport.is_closing():
            return None
        self._eof_sent = True
        if request.method == "HEAD":
            transport.write(self._chunks[0])
        else:
            transport.writelines(self._chunks)
        if transport.get_write_buffer_size():
            try:
                async with asyncio.timeout(self._patience_ms / 1_000):
                    await request.writer.drain()
            except TimeoutError:
                transport.abort()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""
