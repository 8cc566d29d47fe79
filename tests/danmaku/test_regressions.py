"""What users of other rooms complained about, one test each, named for what it shows. (Whose complaint: in brackets.)

Those that other files show already are not repeated: stalled readers and zombies, upgrades in a hot room, a POST of
many packets, fractional pings, compression, connect time-outs and objects left behind (test_hostile, test_clients,
test_gateway); killed, paused, restarted and overflowing Redis, and nodes that die (test_nodes, test_cluster).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from danmaku.room import Room
from danmaku.settings import RoomSettings
from loadtest.tap import Side
from streamd.clock import SystemClock
from streamd.cluster.bus import A, Batch, Draft, RoomMemory
from streamd.cluster.redis import RedisBus
from tests.danmaku.test_nodes import until
from tests.support.redis import RedisServer, redis_server
from tests.support.rooms import RawClient, redis_nodes, room_node

HOUR_MS = 3_600_000


@asynccontextmanager
async def running(url: str) -> AsyncIterator[RedisBus]:
    bus = RedisBus(url, clock=SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.run())
        await until(bus.ready)
        try:
            yield bus
        finally:
            task.cancel()
    await bus.aclose()


def notice(text: str) -> Draft:
    return Draft(A, "notice", f'"t":"{text}"}}'.encode())


async def clients_of(server: RedisServer) -> int:
    async with server.client() as client:
        return len(await client.client_list()) - 1


async def kill_ears(server: RedisServer) -> None:
    async with server.client() as client:
        await client.client_kill_filter(_type="pubsub")


async def until_subscribed(server: RedisServer, *channels: str) -> None:
    async with server.client() as client, asyncio.timeout(30):
        while [count for _, count in await client.pubsub_numsub(*channels)] != [1] * len(channels):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_node_with_thousands_of_rooms_hears_them_all_again_however_often_its_ear_is_killed() -> None:
    """[centrifugo #163: isolated after resubscribing to many channels] and nothing leaks [python-socketio #1569]."""
    rooms, heard = 3_000, asyncio.Queue[tuple[str, int]]()
    async with redis_server() as server, running(server.url) as bus:
        for n in range(rooms):
            await bus.listen(f"r{n}", lambda batch, n=n: heard.put_nowait((f"r{n}", batch.first)))  # type: ignore[misc]
        connections = await clients_of(server)
        for round_ in range(1, 6):
            breaks = bus.breaks
            await kill_ears(server)
            began = time.monotonic()
            await until(lambda breaks=breaks: bus.breaks > breaks)  # type: ignore[misc]
            await until_subscribed(server, "streamd:{r0}:line", f"streamd:{{r{rooms - 1}}}:line")
            assert time.monotonic() - began < 5
            for n in (0, rooms // 2, rooms - 1):
                await bus.append(f"r{n}", [notice("x")], taken=1, batch_id=f"n:{round_}", min_seq=0, at_ms=0)
            async with asyncio.timeout(30):
                assert {await heard.get() for _ in range(3)} == {(f"r{n}", round_) for n in (0, rooms // 2, rooms - 1)}
        assert await clients_of(server) <= connections + 1  # commands may have needed a second one


class FromRedis(Side):
    """Redis' end of a connection through the tap; an ear may be made to hear nothing any more."""

    is_ear = False
    swallows = False

    def data_received(self, data: bytes) -> None:
        if not (self.is_ear and FromRedis.swallows):
            super().data_received(data)


@asynccontextmanager
async def swallower(to: int) -> AsyncIterator[int]:
    """Passes everything on between nodes and a Redis, from the port it gives; see `FromRedis`."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:

        class FromNode(Side):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                group.create_task(self._connect())

            async def _connect(self) -> None:
                _, redis = await loop.create_connection(lambda: FromRedis(None), "127.0.0.1", to)
                redis.is_ear = any(b"SUBSCRIBE" in data for data in self.early)
                redis.join(self)
                self.join(redis)

            def data_received(self, data: bytes) -> None:
                if b"SUBSCRIBE" in data and isinstance(self.other, FromRedis):
                    self.other.is_ear = True
                super().data_received(data)

        server = await loop.create_server(lambda: FromNode(None), "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            FromRedis.swallows = False


async def test_ear_that_is_connected_and_hears_nothing_is_found_out_and_replaced() -> None:
    """[python-socketio #1581, #826; centrifugo #1189: still "subscribed", healthy, and deaf for a day]"""
    heard: asyncio.Queue[Batch] = asyncio.Queue()
    async with (
        redis_server() as server,
        swallower(server.port) as port,
        running(f"redis://127.0.0.1:{port}/0") as bus,
    ):
        await bus.listen("demo", heard.put_nowait)
        FromRedis.swallows = True
        await until(lambda: not bus.ready() and bus.breaks > 0, within_s=8)
        FromRedis.swallows = False
        await until(bus.ready, within_s=5)
        await bus.append("demo", [notice("again")], taken=1, batch_id="n:1", min_seq=0, at_ms=0)
        async with asyncio.timeout(30):
            assert (await heard.get()).first == 1


async def test_resume_that_fails_once_does_not_fail_for_ever() -> None:
    """[centrifugo #1120, #394: clients that loop through "insufficient state"]"""
    async with room_node(settings=RoomSettings(log_events=10)) as node:
        first = await RawClient.join(node.port)
        for n in range(30):
            await node.gateway.publish("demo", "notice", {"n": n})
        await first.close()
        epoch = node.gateway.room_stats("demo").epoch  # type: ignore[union-attr]

        async def resume(seq: int) -> tuple[RawClient, Any]:
            client = await RawClient.open(node.port)
            await client.packet()
            client.send(f'40{{"room":"demo","resume":{{"epoch":"{epoch}","seq":{seq}}}}}')
            return client, await client.event("welcome")

        late, welcome = await resume(3)
        assert welcome["recovered"] is False
        await late.close()
        for n in range(30, 33):
            await node.gateway.publish("demo", "notice", {"n": n})
        again, welcome = await resume(welcome["seq"])
        assert welcome["recovered"] is True
        assert [(await again.event("notice"))["n"] for _ in range(3)] == [30, 31, 32]
        await again.close()


def test_member_of_a_room_that_was_quiet_for_an_hour_resumes() -> None:
    """[socket.io #5282, #4733: recovery fails for long-lived connections in which little is said]"""
    room = Room("demo")
    room.load(RoomMemory(epoch="e1", seq=0, state={}, batches=()))
    room.apply(Batch("e1", 0, 1, 1, 0, "n:1", (notice("early"),)))
    assert room.since("e1", 1, user_id="u", now_ms=HOUR_MS) == []
    room.apply(Batch("e1", 1, 2, 1, HOUR_MS, "n:2", (notice("late"),)))
    missed = room.since("e1", 1, user_id="u", now_ms=HOUR_MS + 1)
    assert missed is not None
    assert [b"late" in entry.packet for entry in missed] == [True]
    assert room.since("e1", 0, user_id="u", now_ms=HOUR_MS + 1) is None


async def test_who_comes_and_goes_is_told_to_nobody() -> None:
    """[centrifuge-dart #89, centrifugo #117: join notices take the joins down; owncast #1711: they drown the chat]"""
    async with room_node(settings=RoomSettings(pulse_ms=200)) as node:
        first = await RawClient.join(node.port)
        await first.idle(0.5)
        first.events.clear()
        began = time.monotonic()
        others = await asyncio.gather(*(RawClient.join(node.port) for _ in range(200)))
        await until(lambda: node.gateway.entrance.joins == 201)
        for other in others:
            await other.close()
        await first.idle(0.5)
        pulses = (time.monotonic() - began) / 0.2 + 2
        assert {event for event, _ in first.events} <= {"online"}
        assert len(first.events) <= pulses
        await first.close()


async def test_three_hundred_people_behind_one_address_can_all_speak() -> None:
    """[owncast #3394: one limiter for all who came through the proxy]"""
    async with room_node() as node:
        clients = await asyncio.gather(*(RawClient.join(node.port, token=f"p{n}") for n in range(300)))
        acks = []
        for start in range(0, 300, 50):
            acks += await asyncio.gather(
                *(each.call("danmaku", {"id": "1", "text": "hello"}) for each in clients[start : start + 50])
            )
            await asyncio.sleep(0.2)
        assert [ack for ack in acks if not ack["ok"]] == []
        for client in clients:
            await client.close()


async def test_history_is_the_latest_in_the_order_they_were_said() -> None:
    """[owncast #748: history that drops the recent and returns the old]"""
    async with room_node() as node:
        host = await RawClient.join(node.port, token="ann/host")
        for n in range(70):
            ack = await host.call("danmaku", {"id": f"h{n}", "text": str(n)})
            while not ack["ok"]:
                await asyncio.sleep(ack["retry_after_ms"] / 1_000)
                ack = await host.call("danmaku", {"id": f"h{n}", "text": str(n)})
        late = await RawClient.open(node.port)
        await late.packet()
        late.send('40{"room":"demo"}')
        assert [each["text"] for each in (await late.event("welcome"))["history"]] == [str(n) for n in range(20, 70)]
        await host.close()
        await late.close()


async def test_one_persons_messages_keep_their_order_though_nobody_waited_for_answers() -> None:
    """[Flask-SocketIO #1420: handlers that run at once reorder messages]"""
    async with redis_server() as server, redis_nodes(server.url) as [(one, _), (two, _)]:
        host, there = await RawClient.join(one.port, token="ann/host"), await RawClient.join(two.port)
        for n in range(15):
            host.send(f'42["danmaku",{{"id":"{n}","text":"{n}"}}]')
        heard: list[str] = []
        while len(heard) < 15:
            heard += [each["text"] for each in await there.event("danmaku")]
        assert heard == [str(n) for n in range(15)]
        await host.close()
        await there.close()


@pytest.mark.parametrize("packet", ["bAQID", '451-["danmaku",{"_placeholder":true,"num":0}]'])
async def test_binary_over_polling_ends_that_session_and_spoils_no_other(packet: str) -> None:
    """[engineio: one encoding cached for both transports, so that a polling member corrupts the others' frames]"""
    async with room_node() as node, aiohttp.ClientSession() as http:
        good = await RawClient.join(node.port)
        url = f"{node.url}/socket.io/?EIO=4&transport=polling"
        async with http.get(url) as answer:
            sid = (await answer.text()).split('"sid":"')[1].split('"')[0]
        async with http.post(f"{url}&sid={sid}", data='40{"room":"demo"}') as answer:
            assert answer.status == 200
        async with http.post(f"{url}&sid={sid}", data=packet) as answer:
            await answer.read()
        await until(lambda: node.gateway.server.connections == 1)
        await node.gateway.publish("demo", "notice", {"n": 1})
        assert (await good.event("notice"))["n"] == 1
        await good.close()
