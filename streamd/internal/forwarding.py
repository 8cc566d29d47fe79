"""Requests that came to the wrong worker: handed on to the right one over its internal address.

In: a request for something that lives in one worker (a polling session, a WHIP session) and that worker's name. Out:
its answer, streamed through. 404 where the worker is gone, and what lived there with it.

Such things carry their worker's name in front of their own, before a dot. Not for WebSockets, whose connection belongs
to the worker that accepted it.
"""

from __future__ import annotations

from collections.abc import Iterable

import aiohttp
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, Metric
from yarl import URL

from streamd.errors import UnavailableError
from streamd.internal.peers import Peers
from streamd.internal.proof import HEADER

# RFC 9110 7.6.1, and what the client library says for itself.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        HEADER.lower(),
    }
)
_ANSWER_S = 60.0  # a poll is held for as long as the ping interval


class Forwarder:
    """See the module's promise."""

    def __init__(self, *, peers: Peers) -> None:
        self._peers = peers
        self.forwarded = 0

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        return (
            CounterMetricFamily(
                "streamd_forwarded_requests", "Requests that belonged to another worker", value=self.forwarded
            ),
        )

    async def forward(self, request: web.Request, worker: str) -> web.StreamResponse:
        """The answer of `worker`. A request that was forwarded once is not again. Cancel-safe: yes."""
        if HEADER in request.headers:
            return _gone()
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        self.forwarded += 1
        try:
            url = await self._peers.url(worker, request.raw_path)
            async with self._peers.session.request(
                request.method,
                URL(url, encoded=True),  # as the client wrote it
                # Whole, and bounded by aiohttp: a stream has no length, and python-engineio takes it for empty then.
                data=await request.read() if request.body_exists else None,
                headers=[*headers, *self._peers.headers().items()],
                timeout=aiohttp.ClientTimeout(total=_ANSWER_S, sock_connect=1.0),
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError, UnavailableError):
            return _gone()
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
        return web.Response(status=answer.status, body=body, headers=kept)


def _gone() -> web.Response:
    return web.json_response({"code": 1, "message": "Session ID unknown"}, status=404)
