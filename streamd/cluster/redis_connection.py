"""Connections to Redis: the client of a URL, what its failures mean, and the *ear* that hears publications.

redis-py would try again and subscribe again by itself, and say nothing of what was lost meanwhile: its retries are off,
and whoever uses a connection decides what its end means. Not here: what is asked or heard (`streamd.cluster.redis`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from streamd.errors import SettingsError, UnavailableError

# What a broken connection raises. RuntimeError is uvloop's: it refuses to write to a transport that the peer has reset,
# and redis-py passes that on as it is. AttributeError is redis-py's own: a command of a cluster that was about to write
# while another one gave the connection up finds no writer.
FAILURES: Final = (RedisError, OSError, TimeoutError, RuntimeError, AttributeError)


class Ear:
    """One subscription connection to one server. It breaks rather than mend itself, and is made anew by its owner."""

    def __init__(self, client: Redis, *, is_sharded: bool, on_lost: Callable[[str], None]) -> None:
        self._pubsub: Any = cast("Any", client).pubsub()
        self._is_sharded = is_sharded
        self._on_lost = on_lost
        self._confirmed: dict[str, asyncio.Event] = {}
        self._leaving: dict[str, int] = {}
        self._is_heard = False

    @property
    def channels(self) -> AbstractSet[str]:
        """What is subscribed to, confirmed or about to be."""
        return self._confirmed.keys()

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Returns when the server has confirmed every channel."""
        fresh = [channel for channel in channels if channel not in self._confirmed]
        waits = [self._confirmed.setdefault(channel, asyncio.Event()) for channel in channels]
        subscribe = self._pubsub.ssubscribe if self._is_sharded else self._pubsub.subscribe
        # A command of a cluster may not name two slots, and every room has its own.
        size = 1 if self._is_sharded else 500
        for start in range(0, len(fresh), size):
            await subscribe(*fresh[start : start + size])
        if not self._is_heard:
            # Nobody reads yet: this is the first subscription of the connection.
            while not all(wait.is_set() for wait in waits):
                await self.hear()
            self._is_heard = True
        else:
            for wait in waits:
                await wait.wait()

    async def unsubscribe(self, channel: str) -> None:
        """Not confirmed: what still comes is ignored."""
        self._confirmed.pop(channel, None)
        self._leaving[channel] = self._leaving.get(channel, 0) + 1
        await (self._pubsub.sunsubscribe if self._is_sharded else self._pubsub.unsubscribe)(channel)

    async def hear(self) -> tuple[str, bytes] | None:
        """The next publication; None at least once a second, so that the caller can look at the clock."""
        message = await self._pubsub.get_message(timeout=1.0)
        if message is None:
            return None
        kind, channel = message["type"], message["channel"].decode()
        if kind in ("message", "smessage"):
            return channel, message["data"]
        if kind in ("subscribe", "ssubscribe") and channel in self._confirmed:
            self._confirmed[channel].set()
        elif kind in ("unsubscribe", "sunsubscribe"):
            self._left(channel)
        return None

    def _left(self, channel: str) -> None:
        asked = self._leaving.pop(channel, 0)
        if asked > 1:
            self._leaving[channel] = asked - 1
        elif not asked and self._confirmed.pop(channel, None) is not None:
            self._on_lost(channel)  # the server's own doing: the slot is another's now

    async def close(self) -> None:
        """Whatever state the connection is in."""
        try:
            async with asyncio.timeout(1):
                await self._pubsub.aclose()
        except FAILURES:
            return  # it was broken: that is why it is closed


def url_of(url: str, address: tuple[str, int]) -> str:
    """The URL of one server of a cluster, given the cluster's. No host: the cluster's own; no port: the URL itself."""
    host, port = address
    if not port:
        return url
    parts = urlsplit(url)
    host = host or parts.hostname or ""
    secret = parts.netloc.rpartition("@")[0]
    there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return parts._replace(scheme="redis", netloc=f"{secret}@{there}" if secret else there).geturl()


def open_client(url: str, *, timeout_s: float | None) -> Redis | RedisCluster:
    # redis-py 8 has a socket time-out of 5 s and ten retries by default: an idle subscription is an error to it, and
    # an error an idle minute.
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": 1.0,
        "health_check_interval": 0,
    }
    try:
        if url.startswith("redis+cluster://"):
            return RedisCluster.from_url(url.replace("redis+cluster", "redis", 1), **options)
        return Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)
    except ValueError as error:
        raise SettingsError(
            "STREAMD_REDIS_URL cannot be read", why=str(error), fix="write redis://host:6379/0", code="redis_url"
        ) from error


def unavailable(error: BaseException) -> UnavailableError:
    return UnavailableError("Redis does not answer", why=str(error) or type(error).__name__, code="redis_unavailable")
