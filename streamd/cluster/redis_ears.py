"""Hears publications: an *ear* for every server that has any of our channels, each proved by its own canary.

One Redis has one ear; a cluster one a master, for sharded pub/sub speaks on the master that owns the channel's slot. A
second apart each ear is sung a canary by way of the server's front door. Not heard within three seconds, it is deaf,
however healthy its connection looks: it is torn down and made anew, and when it hears again everybody is told to fetch
what they missed. One master that is away makes one ear deaf and leaves the others alone. Slots that move are followed:
the map is looked at every second, and at once when a server says that a channel is no longer its own.

Not here: commands, and what publications mean (`streamd.cluster.redis`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot

from streamd.clock import Clock
from streamd.cluster.redis_connection import FAILURES, Ear, open_client, unavailable, url_of
from streamd.errors import UnavailableError
from streamd.telemetry.log import get_log

_log: Final = get_log("bus")
_TIMEOUT_S: Final = 2.0
_CANARY_S: Final = 1.0
_LOOK_S: Final = 1.0
_FIRST_PAUSE_S: Final = 0.05
_DEAF_MS: Final = 3_000
_SLOTS: Final = 16_384
_FAILURES: Final = (*FAILURES, ValueError)

Address = tuple[str, int]
_ONLY: Final[Address] = ("", 0)  # a Redis that is no cluster: one server has everything


class Ears:
    """All of them. `run` must be running."""

    def __init__(
        self,
        url: str,
        *,
        commands: Redis | RedisCluster,
        clock: Clock,
        prefix: str,
        hear: Callable[[str, bytes], None],
        on_return: Callable[[], None],
    ) -> None:
        self.url = url
        self.commands = commands
        self.clock = clock
        self.prefix = prefix
        self.hear = hear
        self.is_cluster = isinstance(commands, RedisCluster)
        self.breaks = 0
        self._on_return = on_return
        self._channels: dict[str, int] = {}  # and the slot of each
        self._owners: list[Address | None] = [None if self.is_cluster else _ONLY] * _SLOTS
        self._shards: dict[Address, _Shard] = {}
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        self._look_now = asyncio.Event()

    async def run(self) -> None:
        """Hear, until cancelled. Cancel-safe: yes."""
        async with asyncio.TaskGroup() as group:
            while True:
                if self.is_cluster:
                    await self._look()
                self._staff(group)
                try:
                    async with asyncio.timeout(_LOOK_S if self.is_cluster else None):
                        await self._look_now.wait()
                except TimeoutError:
                    continue  # time to look again
                self._look_now.clear()
                await asyncio.sleep(0.05)  # whatever is wrong, not in a tight circle

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                found = await self.commands.execute_command("CLUSTER SLOTS")
        except _FAILURES as error:
            _log.debug("bus.slots_unknown", reason=str(error))
            return  # the old map is the best there is
        owners: list[Address | None] = [None] * _SLOTS
        for (first, last), servers in found.items():
            owners[first : last + 1] = [servers["primary"]] * (last + 1 - first)
        if owners != self._owners:
            self._owners = owners
            _log.info("bus.slots", masters=len(set(owners) - {None}))

    def _staff(self, group: asyncio.TaskGroup) -> None:
        wanted = {owner for owner in self._owners if owner is not None}
        for address in self._tasks.keys() - wanted:
            self._tasks.pop(address).cancel()
            del self._shards[address]
        for address in wanted - self._tasks.keys():
            shard = self._shards[address] = _Shard(self, address)
            self._tasks[address] = group.create_task(shard.run())
        for shard in self._shards.values():
            shard.check()

    def ready(self) -> bool:
        """Whether every ear was proved lately."""
        now_ms = self.clock.now_ms()
        return bool(self._shards) and all(now_ms - each.heard_ms < _DEAF_MS for each in self._shards.values())

    async def listen(self, channel: str) -> None:
        """Hear a channel from now on, once the server has confirmed; the wish is kept when it cannot be reached.

        Raises UnavailableError. Cancel-safe: yes; `ignore` after.
        """
        slot = self._channels[channel] = key_slot(channel.encode())
        owner = self._owners[slot]
        shard = None if owner is None else self._shards.get(owner)
        if shard is None or shard.ear is None:
            raise UnavailableError("Redis is not heard", why="the connection for publications is down")
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await shard.ear.subscribe([channel])
        except _FAILURES as error:
            raise unavailable(error) from error

    async def ignore(self, channel: str) -> None:
        """Not one byte of it any more. Raises UnavailableError. Cancel-safe: no."""
        self._channels.pop(channel, None)
        for shard in self._shards.values():
            if shard.ear is not None and channel in shard.ear.channels:
                try:
                    await shard.ear.unsubscribe(channel)
                except _FAILURES as error:
                    raise unavailable(error) from error

    # -- what a shard asks ---------------------------------------------------------------------------------------

    def channels_of(self, address: Address) -> list[str]:
        """Those that are wanted and speak there."""
        owners = self._owners
        return [channel for channel, slot in self._channels.items() if owners[slot] == address]

    def canary_for(self, address: Address) -> str:
        """A channel of this node's own that speaks there. Raises UnavailableError: the server has no slots any more."""
        token = secrets.token_hex(6)
        for attempt in range(200_000):
            canary = f"{self.prefix}:canary:{token}{attempt}"
            if self._owners[key_slot(canary.encode())] == address:
                return canary
        raise UnavailableError("A master of the Redis Cluster has no slots", why="they were moved elsewhere")

    def look_soon(self) -> None:
        """Something is not where it was."""
        self._look_now.set()

    def tell_return(self, address: Address) -> None:
        """Something that was not heard is heard again."""
        _log.info("bus.hears", master=_name(address), channels=len(self._channels), breaks=self.breaks)
        self._on_return()


class _Shard:
    """The ear on one server, for as long as that has slots."""

    def __init__(self, ears: Ears, address: Address) -> None:
        self.ear: Ear | None = None
        self.heard_ms = -_DEAF_MS
        self._ears = ears
        self._address = address
        self._canary = ""
        self._checked = asyncio.Event()

    async def run(self) -> None:
        """Hear, until cancelled. Cancel-safe: yes."""
        client = open_client(url_of(self._ears.url, self._address), timeout_s=None)
        assert isinstance(client, Redis)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sing())
                group.create_task(self._follow())
                await self._hear_again_and_again(client)
        finally:
            await client.aclose()

    async def _hear_again_and_again(self, client: Redis) -> None:
        clock, pause_s = self._ears.clock, _FIRST_PAUSE_S
        while True:
            begun_ms = clock.now_ms()
            try:
                await self._hear_until_deaf(client)
            except (*_FAILURES, UnavailableError) as error:
                self._ears.breaks += 1
                reason = str(error) or type(error).__name__
                # Once a spell is enough for everybody's log: /readyz says how it is now, `bus.hears` that it is over.
                say = _log.warning if pause_s == _FIRST_PAUSE_S else _log.debug
                say("bus.deaf", master=_name(self._address), reason=reason)
                self._ears.look_soon()
            if clock.now_ms() - begun_ms > 10_000:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 1.0)

    async def _hear_until_deaf(self, client: Redis) -> None:
        ears, clock = self._ears, self._ears.clock
        self._canary = ears.canary_for(self._address)
        ear = Ear(client, is_sharded=ears.is_cluster, on_lost=self._on_lost)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await ear.subscribe([self._canary, *ears.channels_of(self._address)])
            self.ear = ear
            ears.look_soon()  # somebody may have asked for a channel meanwhile
            deaf_since_ms = clock.now_ms()
            has_heard = False
            while True:
                message = await ear.hear()
                now_ms = clock.now_ms()
                if now_ms - deaf_since_ms > _DEAF_MS:
                    raise TimeoutError("the canary was not heard")
                if message is None:
                    continue
                channel, data = message
                if channel != self._canary:
                    ears.hear(channel, data)
                    continue
                self.heard_ms = deaf_since_ms = now_ms
                if not has_heard:
                    has_heard = True
                    ears.tell_return(self._address)
        finally:
            self.ear = None
            await ear.close()

    def _on_lost(self, channel: str) -> None:
        if channel == self._canary:
            raise ConnectionError("the canary's slot has moved")
        self._ears.look_soon()

    async def _sing(self) -> None:
        command = "SPUBLISH" if self._ears.is_cluster else "PUBLISH"
        while True:
            try:
                if self._canary:
                    async with asyncio.timeout(_TIMEOUT_S):
                        await self._ears.commands.execute_command(command, self._canary, b"1")
            except _FAILURES as error:
                _log.debug("bus.canary_failed", master=_name(self._address), reason=str(error))
            await asyncio.sleep(_CANARY_S)

    # -- channels whose slots came here --------------------------------------------------------------------------

    def check(self) -> None:
        """The map may have changed."""
        if self.ear is not None and self._missing(self.ear):
            self._checked.set()

    def _missing(self, ear: Ear) -> Iterable[str]:
        return set(self._ears.channels_of(self._address)) - ear.channels

    async def _follow(self) -> None:
        while True:
            await self._checked.wait()
            self._checked.clear()
            ear = self.ear
            missing = list(self._missing(ear)) if ear is not None else []
            if ear is None or not missing:
                continue
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    await ear.subscribe(missing)
            except _FAILURES as error:
                _log.debug("bus.move_failed", master=_name(self._address), reason=str(error))
                continue  # the next look tries again
            self._ears.tell_return(self._address)


def _name(address: Address) -> str:
    host, port = address
    return f"{host}:{port}" if host else "redis"
