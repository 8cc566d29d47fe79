"""The other workers, as a client sees them: questions with an answer in JSON, and streams of records.

Out: `UnavailableError` where a worker cannot be reached, has nothing of what was asked for, or breaks off; the very
error that the other worker raised where it refuses. A worker that says nothing for `silence_ms` is gone: an idle stream
of records pings every second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from streamd.errors import ConflictError, LimitedError, NotFoundError, StreamdError, UnavailableError
from streamd.internal.proof import HEADER, bearer
from streamd.live.shared_directory import SharedDirectory
from streamd.media.records import RecordError, RecordReader

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """How patient one worker is with another."""

    connect_ms: int = 1_000
    answer_ms: int = 3_000
    silence_ms: int = 3_000


def error_to_json(error: StreamdError) -> dict[str, object]:
    """What `_raise` makes the same error of."""
    return {
        "kind": type(error).__name__,
        "what": error.what,
        "why": error.why,
        "fix": error.fix,
        "code": error.code,
        "retry_after_ms": getattr(error, "retry_after_ms", None),
    }


def _raise(said: Mapping[str, Any]) -> None:
    words = {name: said[name] for name in ("why", "fix", "code")}
    match said["kind"]:
        case "ConflictError":
            raise ConflictError(said["what"], **words)
        case "LimitedError":
            raise LimitedError(said["what"], retry_after_ms=said["retry_after_ms"], **words)
        case "NotFoundError":
            raise NotFoundError(said["what"], **words)
        case _:
            raise UnavailableError(said["what"], **words)


class Peers:
    """See the module's promise. An async context manager; everything else may be used inside only."""

    def __init__(self, *, directory: SharedDirectory, settings: PeerSettings | None = None) -> None:
        self._directory = directory
        self._settings = settings or PeerSettings()
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made with the first request."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=10)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, read_bufsize=_READ_BYTES)
        return self._session

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()

    def headers(self) -> dict[str, str]:
        """What makes another worker listen."""
        return {HEADER: bearer(self._directory.secret)}

    async def url(self, worker: str, path: str) -> str:
        """Where a worker is asked for `path`. Raises UnavailableError for one that nobody knows."""
        address = self._directory.address(worker)
        if address is None:
            await self._directory.beat()  # it may have begun since the last one
            address = self._directory.address(worker)
        if address is None:
            raise UnavailableError(f"Worker {worker} is not there", why="it has left", code="worker_gone")
        return f"http://{address}{path}"

    async def ask(
        self, worker: str, method: str, path: str, body: object = None, *, answer_ms: int | None = None
    ) -> Any:
        """A question and its answer. Raises StreamdError. Cancel-safe: what was asked may have been done."""
        url = await self.url(worker, path)
        try:
            async with (
                asyncio.timeout((answer_ms or self._settings.answer_ms) / 1_000),
                self.session.request(
                    method,
                    url,
                    data=orjson.dumps(body),
                    headers=self.headers(),
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_ms / 1_000),
                ) as answer,
            ):
                said = await answer.read()
                if answer.status == 200:
                    return orjson.loads(said) if answer.content_type == "application/json" else said
                _raise(orjson.loads(said))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
            raise _gone(worker, error) from error

    @asynccontextmanager
    async def records(self, worker: str, path: str) -> AsyncIterator[AsyncIterator[tuple[int, bytes]]]:
        """A stream of records, until it ends. Raises UnavailableError, also while it is read. Cancel-safe: yes."""
        url = await self.url(worker, path)
        settings = self._settings
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=settings.connect_ms / 1_000, sock_read=settings.silence_ms / 1_000
        )
        try:
            async with self.session.get(url, headers=self.headers(), timeout=timeout) as answer:
                if answer.status != 200:
                    raise UnavailableError(f"Worker {worker} has no {path}", code="not_there")
                yield _read(answer)
        except (aiohttp.ClientError, OSError, TimeoutError, RecordError) as error:
            raise _gone(worker, error) from error


async def _read(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, bytes]]:
    reader = RecordReader()
    async for data in answer.content.iter_any():
        for each in reader.feed(data):
            yield each


def _gone(worker: str, error: Exception) -> UnavailableError:
    why = str(error) or type(error).__name__
    return UnavailableError(f"Worker {worker} does not answer", why=why, code="worker_gone")
