"""The bus over Redis: one server, or a cluster with sharded pub/sub. The only file that knows redis-py.

Two clients: commands, with time-outs and no hidden retries; and an *ear* that hears publications, has no time-out of
its own (an idle room is no error) and is checked from outside: every second this node publishes a canary to itself.
What is not heard within three seconds is a deaf ear, however healthy it looks: it is torn down and made anew, and when
it hears again everybody is told to fetch what they missed. `ready()` is that round trip, nothing less.

redis-py would reconnect and subscribe again by itself, and say nothing of what was lost meanwhile: its retries are off.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha1
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from streamd.clock import Clock
from streamd.cluster import scripts
from streamd.cluster.bus import (
    DROP,
    STATE,
    Admission,
    Batch,
    Draft,
    Lease,
    Limit,
    Pulse,
    PulseReport,
    RoomMemory,
    StateEntry,
    Verdict,
    pack_draft,
    unpack_drafts,
)
from streamd.errors import SettingsError, UnavailableError
from streamd.telemetry.log import get_log

_log: Final = get_log("bus")
IDENT_TTL_MS: Final = 600_000
KEEP_MS: Final = 7 * 86_400_000  # how long a silent room's numbers, state and counts are remembered
_RECALL_BATCHES: Final = 500
_COMMAND_TIMEOUT_S: Final = 2.0
_CANARY_S: Final = 1.0
_DEAF_MS: Final = 3_000
_SHA: Final = {
    script: sha1(script.encode(), usedforsecurity=False).hexdigest()
    for script in (
        *(scripts.APPEND, scripts.REPLAY, scripts.RECALL, scripts.PULSE, scripts.ADMIT),
        *(scripts.SETTLE, scripts.CLAIM, scripts.RENEW, scripts.CHARGE),
    )
}


class RedisBus:
    """RoomBus and Leases over Redis. `run` must be running; `aclose` after it ended."""

    def __init__(
        self, url: str, *, clock: Clock, prefix: str = "streamd", log_batches: int = 2_000, log_age_ms: int = 600_000
    ) -> None:
        self._clock = clock
        self._prefix = prefix
        self._log_batches = log_batches
        self._log_age_ms = log_age_ms
        self.is_cluster = url.startswith("redis+cluster://")
        self._commands = _client(url, timeout_s=_COMMAND_TIMEOUT_S)
        self._ear_client = _client(url, timeout_s=None)
        self._ear: _Ear | None = None
        self._listeners: dict[str, list[Callable[[Batch], None]]] = {}
        self._canary = f"{prefix}:canary:{secrets.token_hex(6)}"
        self._heard_ms = -_DEAF_MS
        self._returns: list[Callable[[], None]] = []
        self.breaks = 0
        self.received_bytes = 0

    # -- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hear, until cancelled. Cancel-safe: yes."""
        pause_s = 0.05
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sing())
            while True:
                begun_ms = self._clock.now_ms()
                try:
                    await self._listen_until_deaf()
                except (RedisError, OSError, TimeoutError, ValueError) as error:
                    self.breaks += 1
                    _log.warning("bus.deaf", reason=str(error) or type(error).__name__)
                if self._clock.now_ms() - begun_ms > 10_000:
                    pause_s = 0.05
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 1.0)

    async def _listen_until_deaf(self) -> None:
        if isinstance(self._ear_client, RedisCluster):
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                await self._ear_client.initialize()  # its subscriptions do not look for the slots themselves
        ear = _Ear(self._ear_client, is_cluster=self.is_cluster)
        try:
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                await ear.subscribe([self._canary, *(self._channel(room) for room in self._listeners)])
            self._ear = ear
            deaf_since_ms = self._clock.now_ms()
            has_heard = False
            while True:
                message = await ear.hear()
                now_ms = self._clock.now_ms()
                if message is not None:
                    channel, data = message
                    if channel == self._canary:
                        self._heard_ms = deaf_since_ms = now_ms
                        if not has_heard:
                            has_heard = True
                            self._tell_return()
                    else:
                        self._hear(channel, data)
                if now_ms - deaf_since_ms > _DEAF_MS:
                    raise TimeoutError("the canary was not heard")
        finally:
            self._ear = None
            await ear.close()

    def _tell_return(self) -> None:
        _log.info("bus.hears", rooms=len(self._listeners), breaks=self.breaks)
        for call in self._returns:
            call()

    async def _sing(self) -> None:
        command = "SPUBLISH" if self.is_cluster else "PUBLISH"
        while True:
            try:
                async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                    await self._commands.execute_command(command, self._canary, b"1")
            except (RedisError, OSError, TimeoutError) as error:
                _log.debug("bus.canary_failed", reason=str(error))
            await asyncio.sleep(_CANARY_S)

    async def aclose(self) -> None:
        """Let go of the connections. Cancel-safe: no."""
        await self._commands.aclose()
        await self._ear_client.aclose()

    def ready(self) -> bool:
        """See RoomBus."""
        return self._clock.now_ms() - self._heard_ms < _DEAF_MS

    def on_return(self, call: Callable[[], None]) -> None:
        """See RoomBus. Also called when the bus is heard for the first time."""
        self._returns.append(call)

    # -- rooms ---------------------------------------------------------------------------------------------------

    def _channel(self, room: str) -> str:
        return f"{self._prefix}:{{{room}}}:line"

    def _keys(self, room: str, *names: str) -> list[str]:
        return [f"{self._prefix}:{{{room}}}:{name}" for name in names]

    async def _run(self, script: str, keys: Sequence[str], *arguments: object) -> Any:
        try:
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                try:
                    return await self._commands.evalsha(_SHA[script], len(keys), *keys, *cast("Any", arguments))
                except NoScriptError:
                    return await self._commands.eval(script, len(keys), *keys, *cast("Any", arguments))
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error

    async def append(
        self, room: str, drafts: Sequence[Draft], *, taken: int, batch_id: str, min_seq: int, at_ms: int
    ) -> Batch:
        """See RoomBus."""
        packed = [pack_draft(draft) for draft in drafts]
        states: list[object] = []
        for offset, draft in enumerate(drafts):
            if draft.flags & DROP:
                states += ["del", draft.key, 0, b""]
            elif draft.flags & STATE:
                states += ["set", draft.key, offset, packed[offset]]
        node, _, count = batch_id.rpartition(":")
        head: bytes = await self._run(
            scripts.APPEND,
            self._keys(room, "meta", "log", "state"),
            secrets.token_hex(6),
            KEEP_MS,
            node,
            count,
            taken,
            min_seq,
            at_ms,
            batch_id,
            b"".join(packed),
            self._log_batches,
            self._log_age_ms,
            "SPUBLISH" if self.is_cluster else "PUBLISH",
            self._channel(room),
            *states,
        )
        return _batch(head, tuple(drafts))

    async def replay(self, room: str, *, epoch: str, after_seq: int) -> tuple[Batch, ...] | None:
        """See RoomBus."""
        found = await self._run(scripts.REPLAY, self._keys(room, "meta", "log"), epoch, after_seq)
        return None if found is None else tuple(_unpack(message) for message in found)

    async def recall(self, room: str) -> RoomMemory:
        """See RoomBus. The tail of the log is bounded: a long show is resumed from the last 500 batches."""
        epoch, seq, likes, peak, unique, state, batches = await self._run(
            scripts.RECALL,
            self._keys(room, "meta", "log", "state", "visitors"),
            secrets.token_hex(6),
            KEEP_MS,
            _RECALL_BATCHES,
        )
        return RoomMemory(
            epoch=epoch.decode(),
            seq=int(seq),
            state={key.decode(): _state(value) for key, value in zip(state[::2], state[1::2], strict=True)},
            batches=tuple(_unpack(message) for message in batches),
            likes=int(likes),
            peak=int(peak),
            unique=int(unique),
        )

    async def listen(self, room: str, deliver: Callable[[Batch], None]) -> None:
        """See RoomBus. Returns once Redis has confirmed; the wish is kept when it cannot be reached."""
        listeners = self._listeners.setdefault(room, [])
        listeners.append(deliver)
        if len(listeners) > 1 and self._ear is not None:
            return
        if self._ear is None:
            raise UnavailableError("Redis is not heard", why="the connection for publications is down")
        try:
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                await self._ear.subscribe([self._channel(room)])
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error

    async def unlisten(self, room: str, deliver: Callable[[Batch], None]) -> None:
        """See RoomBus."""
        listeners = [each for each in self._listeners.get(room, ()) if each != deliver]
        if listeners:
            self._listeners[room] = listeners
            return
        self._listeners.pop(room, None)
        if self._ear is not None:
            try:
                await self._ear.unsubscribe(self._channel(room))
            except (RedisError, OSError) as error:
                raise _unavailable(error) from error

    def _hear(self, channel: str, data: bytes) -> None:
        self.received_bytes += len(data)
        room = channel[len(self._prefix) + 2 : -len("}:line")]
        listeners = self._listeners.get(room)
        if listeners:
            batch = _unpack(data)
            for deliver in listeners:
                try:
                    deliver(batch)
                except Exception:
                    # A listener's fault must not make all of the node's rooms deaf.
                    _log.exception("bus.listener_failed", room=room)

    async def pulse(self, room: str, report: PulseReport) -> Pulse:
        """See RoomBus."""
        epoch, seq, online, peak, likes, unique, nodes = await self._run(
            scripts.PULSE,
            self._keys(room, "meta", "nodes", "visitors"),
            secrets.token_hex(6),
            KEEP_MS,
            report.node,
            report.number,
            report.online,
            report.likes,
            report.now_ms,
            report.ttl_ms,
            *report.visitors,
        )
        return Pulse(epoch.decode(), int(seq), int(online), int(peak), int(likes), int(unique), int(nodes))

    async def admit(self, room: str, admissions: Sequence[Admission], *, now_ms: int) -> list[Verdict]:
        """See RoomBus."""
        arguments: list[object] = []
        for admission in admissions:
            arguments += [admission.ident, len(admission.limits)]
            for limit in admission.limits:
                arguments += limit
        verdicts = await self._run(scripts.ADMIT, self._keys(room, "in"), now_ms, IDENT_TTL_MS, *arguments)
        return [Verdict(kind.decode(), int(seq), name.decode(), int(wait)) for kind, seq, name, wait in verdicts]

    async def settle(self, room: str, numbers: dict[str, int], *, now_ms: int) -> None:  # noqa: ARG002 - Redis has the time
        """See RoomBus."""
        pairs = [part for pair in numbers.items() for part in pair]
        await self._run(scripts.SETTLE, self._keys(room, "in"), IDENT_TTL_MS, *pairs)

    async def charge(self, limits: Sequence[Limit]) -> int:
        """Limits of no room (signing in, calls of the API): 0 when all allow it and are charged, else ms to wait.

        Raises UnavailableError. Cancel-safe: they may have been charged.
        """
        keys = [f"{self._prefix}:{{rates}}:{limit.name}" for limit in limits]
        bounds = [bound for limit in limits for bound in (limit.interval_ms, limit.burst)]
        return int(await self._run(scripts.CHARGE, keys, *bounds))

    # -- leases --------------------------------------------------------------------------------------------------

    async def claim(self, name: str, holder: str, *, ttl_ms: int, force: bool = False) -> Lease | None:
        """See Leases."""
        keys = [f"{self._prefix}:{{{name}}}:lease", f"{self._prefix}:{{{name}}}:fence"]
        fence = await self._run(scripts.CLAIM, keys, holder, ttl_ms, int(force))
        return None if fence is None else Lease(name, holder, int(fence))

    async def renew(self, lease: Lease, *, ttl_ms: int) -> bool:
        """See Leases."""
        return bool(await self._run(scripts.RENEW, [f"{self._prefix}:{{{lease.name}}}:lease"], lease.fence, ttl_ms))

    async def release(self, lease: Lease) -> None:
        """See Leases."""
        await self._run(scripts.RENEW, [f"{self._prefix}:{{{lease.name}}}:lease"], lease.fence, 0)

    async def holder(self, name: str) -> Lease | None:
        """See Leases."""
        try:
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                found = await cast(
                    "Awaitable[list[bytes | None]]",
                    self._commands.hmget(f"{self._prefix}:{{{name}}}:lease", ["holder", "fence"]),
                )
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        holder, fence = found
        return None if holder is None or fence is None else Lease(name, holder.decode(), int(fence))


class _Ear:
    """One subscription connection (a connection per shard, on a cluster), made anew after every break."""

    def __init__(self, client: Redis | RedisCluster, *, is_cluster: bool) -> None:
        self._pubsub: Any = cast("Any", client).pubsub()
        self._is_cluster = is_cluster
        self._confirmed: dict[str, asyncio.Event] = {}
        self._is_heard = False

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Returns when the server has confirmed every channel."""
        waits = [self._confirmed.setdefault(channel, asyncio.Event()) for channel in channels]
        subscribe = self._pubsub.ssubscribe if self._is_cluster else self._pubsub.subscribe
        for start in range(0, len(channels), 500):
            await subscribe(*channels[start : start + 500])
        if not self._is_heard:
            # Nobody reads yet: this is the first subscription of the connection.
            while not all(wait.is_set() for wait in waits):
                await self._read(1.0)
            self._is_heard = True
        else:
            for wait in waits:
                await wait.wait()

    async def unsubscribe(self, channel: str) -> None:
        """Not confirmed: what still comes is ignored."""
        self._confirmed.pop(channel, None)
        await (self._pubsub.sunsubscribe if self._is_cluster else self._pubsub.unsubscribe)(channel)

    async def hear(self) -> tuple[str, bytes] | None:
        """The next publication; None at least once a second, so that the caller can look at the clock."""
        return await self._read(1.0)

    async def _read(self, timeout_s: float) -> tuple[str, bytes] | None:
        if self._is_cluster:
            # Its connections are asked in turn, each for as long as this says: not long, when there are several.
            several = len(self._pubsub.node_pubsub_mapping) > 1
            message = await self._pubsub.get_sharded_message(timeout=0.01 if several else timeout_s)
        else:
            message = await self._pubsub.get_message(timeout=timeout_s)
        if message is None:
            return None
        kind, channel = message["type"], message["channel"].decode()
        if kind in ("message", "smessage"):
            return channel, message["data"]
        if kind in ("subscribe", "ssubscribe") and channel in self._confirmed:
            self._confirmed[channel].set()
        return None

    async def close(self) -> None:
        """Whatever state the connection is in."""
        try:
            async with asyncio.timeout(1):
                await self._pubsub.aclose()
        except (RedisError, OSError, TimeoutError):
            return  # it was broken: that is why it is closed


def _client(url: str, *, timeout_s: float | None) -> Redis | RedisCluster:
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


def _unavailable(error: BaseException) -> UnavailableError:
    return UnavailableError("Redis does not answer", why=str(error) or type(error).__name__, code="redis_unavailable")


def _batch(head: bytes, drafts: tuple[Draft, ...]) -> Batch:
    epoch, prev, first, taken, at_ms, batch_id = head.decode().split(" ")
    return Batch(epoch, int(prev), int(first), int(taken), int(at_ms), batch_id, drafts)


def _unpack(message: bytes) -> Batch:
    end = message.index(b"\n")
    return _batch(message[:end], unpack_drafts(message, end + 1))


def _state(value: bytes) -> StateEntry:
    end = value.index(b" ")
    return StateEntry(int(value[:end]), unpack_drafts(value, end + 1)[0])
