"""Two nodes and a Redis Cluster of three masters: rooms live on all of them, and outlive the loss of any."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streamd.cluster.redis import RedisBus
from tests.support.redis import RedisMasters, RedisServer, redis_masters
from tests.support.rooms import RawClient, RoomNode, redis_nodes


def channel_of(room: str) -> str:
    return f"streamd:{{{room}}}:line"


async def a_room_on_each(masters: RedisMasters) -> dict[int, str]:
    """By the port of the master that has it."""
    rooms: dict[int, str] = {}
    for n in range(100):
        rooms.setdefault((await masters.master_of(channel_of(f"room-{n}"))).port, f"room-{n}")
        if len(rooms) == len(masters.servers):
            return rooms
    raise AssertionError(f"a hundred rooms, and all on {rooms}")


class Show:
    """A member on each of two nodes, in a room on each master."""

    def __init__(self, masters: RedisMasters, nodes: list[tuple[RoomNode, RedisBus]], rooms: dict[int, str]) -> None:
        self.masters = masters
        self.nodes = [node for node, _ in nodes]
        self.buses = [bus for _, bus in nodes]
        self.rooms = rooms
        self.members: dict[str, list[RawClient]] = {}
        self.told = 0

    def room_on(self, server: RedisServer) -> str:
        return self.rooms[server.port]

    async def join(self) -> None:
        for room in self.rooms.values():
            self.members[room] = [await RawClient.join(node.port, room) for node in self.nodes]

    async def tell(self, room: str, *, by: int = 0) -> int:
        self.told += 1
        await self.nodes[by].gateway.publish(room, "notice", {"n": self.told})
        return self.told

    async def check_heard(self, room: str, number: int, *, on: tuple[int, ...] = (0, 1)) -> None:
        for node in on:
            assert (await self.members[room][node].event("notice"))["n"] == number

    def is_alone(self, room: str) -> list[bool]:
        found = [node.gateway.room_stats(room) for node in self.nodes]
        return [stats.is_alone for stats in found if stats is not None]

    async def all_together(self, *, within_s: float) -> None:
        began = time.monotonic()
        async with asyncio.timeout(within_s + 20):
            while not all(bus.ready() for bus in self.buses) or any(any(self.is_alone(r)) for r in self.members):
                await self.read()
        assert time.monotonic() - began < within_s

    async def read(self) -> None:
        for clients in self.members.values():
            for client in clients:
                await client.idle(0.01)

    async def close(self) -> None:
        for clients in self.members.values():
            for client in clients:
                await client.close()


@asynccontextmanager
async def a_show() -> AsyncIterator[Show]:
    async with redis_masters() as masters, redis_nodes(masters.url) as nodes:
        show = Show(masters, nodes, await a_room_on_each(masters))
        await show.join()
        try:
            yield show
        finally:
            await show.close()


async def shard_channels(server: RedisServer) -> set[str]:
    async with server.client() as client:
        found: list[bytes] = await client.execute_command("PUBSUB", "SHARDCHANNELS", "streamd:{*")  # type: ignore[no-untyped-call]
        return {name.decode() for name in found}


async def test_rooms_on_every_master_are_heard_on_both_nodes_and_each_speaks_on_its_own_master_only() -> None:
    async with a_show() as show:
        for room in show.members:
            for by in (0, 1):
                await show.check_heard(room, await show.tell(room, by=by))
        for server in show.masters.servers:
            assert await shard_channels(server) == {channel_of(show.room_on(server))}
        assert not any(any(show.is_alone(room)) for room in show.members)


async def test_killed_master_silences_its_own_rooms_between_nodes_only_and_its_return_mends_them() -> None:
    async with a_show() as show:
        lost = show.masters.servers[1]
        room = show.room_on(lost)
        await show.nodes[0].gateway.publish(room, "card", {"version": 1, "product": {"id": 1, "title": "mug"}})
        for client in show.members[room]:
            await client.event("card")
        await lost.stop()
        for server in (show.masters.servers[0], show.masters.servers[2]):
            other = show.room_on(server)
            for by in (0, 1):
                await show.check_heard(other, await show.tell(other, by=by))
            assert show.is_alone(other) == [False, False]
        for by in (0, 1):  # whoever is on the same node goes on
            await show.check_heard(room, await show.tell(room, by=by), on=(by,))
        assert show.is_alone(room) == [True, True]
        async with asyncio.timeout(30):
            while any(bus.ready() for bus in show.buses):
                await show.read()
        await lost.start()
        await show.all_together(within_s=8)  # of which the cluster needs two to agree on the master's return
        for client in show.members[room]:
            await client.idle(0.5)
            client.events.clear()
        await show.check_heard(room, await show.tell(room))
        late = await RawClient.open(show.nodes[1].port)
        await late.packet()
        late.send(f'40{{"room":"{room}"}}')
        assert (await late.event("welcome"))["card"]["product"]["title"] == "mug"
        await late.close()


async def test_slots_of_a_master_that_stays_away_are_given_to_another_and_its_rooms_live_on_there() -> None:
    async with a_show() as show:
        lost, heir = show.masters.servers[2], show.masters.servers[0]
        room = show.room_on(lost)
        await lost.stop()
        await show.check_heard(room, await show.tell(room), on=(0,))
        await show.masters.cli("fix", f"127.0.0.1:{heir.port}", "--cluster-fix-with-unreachable-masters")
        await show.all_together(within_s=5)
        for client in show.members[room]:
            await client.idle(0.5)
            client.events.clear()
        for by in (0, 1):
            await show.check_heard(room, await show.tell(room, by=by))
        assert (await show.masters.master_of(channel_of(room))).port != lost.port


@pytest.mark.parametrize("pace_s", [0.002, 0.02])
async def test_slots_that_move_during_a_show_lose_and_double_nothing(pace_s: float) -> None:
    async with a_show() as show:
        source, target = show.masters.servers[0], show.masters.servers[1]
        room = show.room_on(source)

        async def talk() -> None:
            for _ in range(300):
                await show.tell(room)
                await asyncio.sleep(pace_s)

        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            group.create_task(move_all(show.masters, source, target))
        for client in show.members[room]:
            assert [(await client.event("notice"))["n"] for _ in range(300)] == list(range(1, 301))
        assert (await show.masters.master_of(channel_of(room))).port == target.port
        await show.all_together(within_s=5)
        for by in (0, 1):
            await show.check_heard(room, await show.tell(room, by=by))


async def move_all(masters: RedisMasters, source: RedisServer, target: RedisServer) -> None:
    """Every slot, and the keys in them, while they are in use."""
    ids = []
    for server in (source, target):
        async with server.client() as client:
            ids.append((await client.execute_command("CLUSTER", "MYID")).decode())  # type: ignore[no-untyped-call]
    await masters.cli(
        "reshard",
        f"127.0.0.1:{source.port}",
        *("--cluster-from", ids[0], "--cluster-to", ids[1], "--cluster-slots", "5461", "--cluster-yes"),
    )
