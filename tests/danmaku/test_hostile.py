"""Clients that stall, vanish, flood and lie: each costs a bounded amount and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import socket
import struct
from contextlib import suppress

import aiohttp
import pytest

from danmaku.fanout import Member
from danmaku.session import WebSocketSession
from danmaku.settings import RoomSettings
from danmaku.socket import TransportSettings
from tests.danmaku.test_nodes import until
from tests.support.rooms import RawClient, RoomNode, room_node


def stats(node: RoomNode) -> tuple[int, int]:
    found = node.gateway.room_stats("demo")
    assert found is not None
    return found.members_here, found.lagging_here


def alive(kind: type) -> int:
    gc.collect()
    return sum(1 for each in gc.get_objects() if type(each) is kind)


async def stalled_reader(port: int) -> socket.socket:
    """Joined, with the smallest receive buffer there is, and never reads again."""
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    await loop.sock_connect(raw, ("127.0.0.1", port))
    auth = b'40{"room":"demo"}'
    await loop.sock_sendall(
        raw,
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        + bytes((0x81, 0x80 | len(auth), 0, 0, 0, 0))
        + auth,
    )
    return raw


async def test_stalled_readers_are_cut_off_with_little_swallowed_by_the_kernel_and_nothing_left() -> None:
    async with room_node() as node:
        tasks = len(asyncio.all_tasks())
        raws = [await stalled_reader(node.port) for _ in range(50)]
        reader = await RawClient.join(node.port)
        await until(lambda: stats(node)[0] == 51)
        blob = "x" * 20_000
        for n in range(30):
            await node.gateway.publish("demo", "notice", {"n": n, "text": blob})
        table = node.gateway.tables.get("demo")
        assert table is not None
        lagging = [m for m in table.line.audience.members() if m.link.backlog_bytes()]
        assert len(lagging) == 50
        # 600 KB were said; whatever does not wait in our own buffers is in the kernel.
        assert max(30 * 20_100 - member.link.backlog_bytes() for member in lagging) < 250_000
        del lagging
        for n in range(30, 90):
            await node.gateway.publish("demo", "notice", {"n": n, "text": blob})
        assert [(await reader.event("notice"))["n"] for _ in range(90)] == list(range(90))
        found = node.gateway.room_stats("demo")
        assert found is not None
        assert (found.aborted_here, found.members_here) == ({"slow": 50}, 1)
        await until(lambda: node.gateway.server.connections == 1)
        assert (alive(WebSocketSession), alive(Member)) == (1, 1)
        assert len(asyncio.all_tasks()) <= tasks + 1
        await reader.close()
        for raw in raws:
            raw.close()


async def test_banned_reader_that_has_stalled_is_gone_two_seconds_later() -> None:
    async with room_node() as node:
        raw = await stalled_reader(node.port)
        await until(lambda: node.gateway.entrance.joins == 1)
        for _ in range(20):
            await node.gateway.publish("demo", "notice", {"text": "x" * 20_000})
        table = node.gateway.tables.get("demo")
        assert table is not None
        [member] = table.line.audience.members()
        member.link.close("banned")  # type: ignore[attr-defined]
        del member
        await until(lambda: node.gateway.server.connections == 0, within_s=4)
        raw.close()


async def test_connection_that_answers_pings_but_joins_nothing_is_ended() -> None:
    settings = RoomSettings(transport=TransportSettings(connect_timeout_ms=300, ping_interval_ms=100))
    async with room_node(settings=settings) as node:
        client = await RawClient.open(node.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.idle(3)
        assert node.gateway.wheel.never_joined == 1
        assert node.gateway.server.connections == 0
        await client.close()


async def test_silent_member_is_ended_and_one_that_answers_stays() -> None:
    settings = RoomSettings(transport=TransportSettings(ping_interval_ms=200))
    async with room_node(settings=settings) as node:
        silent, polite = await RawClient.join(node.port), await RawClient.join(node.port)
        async with asyncio.timeout(30):
            while stats(node) != (1, 0):
                await polite.idle(0.05)
        await polite.idle(0.5)
        assert stats(node) == (1, 0)
        assert node.gateway.wheel.timeouts == 1
        await silent.close()
        await polite.close()


async def test_ping_interval_of_a_fraction_of_a_second_is_announced_as_it_is() -> None:
    settings = RoomSettings(transport=TransportSettings(ping_interval_ms=300, ping_timeout_ms=200))
    async with room_node(settings=settings) as node:
        client = await RawClient.join(node.port)
        assert (client.opening["pingInterval"], client.opening["pingTimeout"]) == (300, 200)
        await client.close()


async def test_idle_members_cost_no_task() -> None:
    async with room_node() as node:
        first = await RawClient.join(node.port)
        tasks = len(asyncio.all_tasks())
        others = [await RawClient.join(node.port) for _ in range(50)]
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == tasks
        for client in (first, *others):
            await client.close()


async def test_connections_killed_at_any_moment_leave_no_object_behind() -> None:
    chance = random.Random(5)
    async with room_node() as node:
        base = (alive(WebSocketSession), alive(Member), len(asyncio.all_tasks()))
        for _ in range(20):
            clients = []
            for _ in range(25):
                client = await RawClient.open(node.port)
                kind = chance.randrange(4)
                if kind >= 1:
                    client.send(f'40{{"room":"demo","token":"t{chance.randrange(50)}"}}')
                if kind >= 2:
                    client.send('421["like",{"count":2}]')
                if kind == 3:
                    client.send_raw(b"\x81\xfe\x10")
                clients.append(client)
            await asyncio.sleep(chance.random() * 0.01)
            for client in clients:
                raw = client.writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.writer.transport.abort()
            await node.gateway.publish("demo", "notice", {"text": "hello"})
        await until(lambda: node.gateway.server.connections == 0)
        await asyncio.sleep(0.05)
        del client, clients
        assert (alive(WebSocketSession), alive(Member), len(asyncio.all_tasks())) == base
        assert stats(node) == (0, 0)
        assert node.gateway.entrance._users == {}
        assert node.gateway.server._addresses == {}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x02hi", 1002),
        (b"\x82\x81\x00\x00\x00\x00x", 1003),
        (b"\x81\x81\x00\x00\x00\x009", 1002),
        (b"\x81\x83\x00\x00\x00\x0042{", 1007),
        (b"\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00", 1009),
        (b"\x81\x83\x00\x00\x00\x00\x34\x32\xff", 1007),
    ],
)
async def test_violation_ends_that_connection_with_its_code_and_no_other(data: bytes, code: int) -> None:
    async with room_node() as node:
        good, bad = await RawClient.join(node.port), await RawClient.join(node.port)
        bad.send_raw(data)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await bad.idle(2)
        assert bad.closed == code
        await node.gateway.publish("demo", "notice", {"n": 1})
        assert (await good.event("notice"))["n"] == 1
        assert stats(node)[0] == 1
        await good.close()
        await bad.close()


async def test_flood_of_packets_ends_the_flooder() -> None:
    async with room_node() as node:
        flooder = await RawClient.join(node.port)
        for _ in range(400):
            flooder.send('42["like",{"count":1}]')
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await flooder.idle(3)
        assert flooder.closed == 1008
        await flooder.close()


@pytest.mark.parametrize(
    "head",
    [
        "GET /socket.io/?EIO=3&transport=websocket HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n",
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n",
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n",
        "GET /socket.io/?EIO=4&transport=websocket&sid=unknown HTTP/1.1\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n",
        "POST /socket.io/?EIO=4&transport=polling&sid=unknown HTTP/1.1\r\nContent-Length: 0\r\n",
        "GET /socket.io/?EIO=4&transport=carrier-pigeon HTTP/1.1\r\n",
    ],
)
async def test_handshake_that_is_not_one_gets_400(head: str) -> None:
    async with room_node() as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(head.encode() + b"Host: x\r\n\r\n")
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 30)
        assert node.gateway.server.connections == 0
        writer.close()


async def test_second_connect_on_one_connection_ends_it() -> None:
    async with room_node() as node:
        client = await RawClient.join(node.port)
        client.send('40{"room":"demo"}')
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await client.idle(2)
        assert client.closed == 1002
        assert node.gateway.server.connections == 0
        await client.close()


async def test_node_that_closes_sends_everybody_away_in_time_and_takes_nobody_in() -> None:
    async with room_node() as node:
        readers = [await RawClient.join(node.port) for _ in range(20)]
        raw = await stalled_reader(node.port)
        await until(lambda: stats(node)[0] == 21)
        for _ in range(40):
            await node.gateway.publish("demo", "notice", {"text": "x" * 20_000})
        await node.gateway.close(within_ms=300)
        await until(lambda: node.gateway.server.connections == 0)
        for reader in readers:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.idle(2)
            assert reader.closed == 1001
            await reader.close()
        late = await RawClient.join(node.port)
        assert late.refusal["data"]["code"] == "busy"
        await late.close()
        raw.close()


async def test_poller_that_asks_again_and_again_what_it_missed_is_told_ten_times_and_then_to_wait() -> None:
    async with room_node() as node, aiohttp.ClientSession() as http:
        base = f"{node.url}/socket.io/?EIO=4&transport=polling"
        async with http.get(base) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        url = f"{base}&sid={sid}"
        await (await http.post(url, data='40{"room":"demo"}')).read()
        await until(lambda: node.gateway.entrance.joins == 1)
        for n in range(100):
            await node.gateway.publish("demo", "notice", {"n": n, "text": "x" * 200})
        table = node.gateway.tables.get("demo")
        assert table is not None
        link, before = node.gateway.server.links[sid], node.gateway.server.links[sid].backlog_bytes()
        asks = [f'42{n}["sync",{{"epoch":"{table.line.room.epoch}","seq":0}}]' for n in range(100)]
        async with http.post(url, data="\x1e".join(asks)) as answer:
            assert answer.status == 200
        # Ten answers of some 25 KB, and ninety refusals of a hundred bytes.
        assert link.backlog_bytes() - before < 400_000
        text = ""
        while '"code":"rate_user"' not in text:
            async with http.get(url) as answer:
                text += await answer.text()
        assert text.count('"recovered":true,"epoch"') == 10


async def test_poller_that_sends_too_many_packets_is_ended_as_a_web_socket_is() -> None:
    async with room_node() as node, aiohttp.ClientSession() as http:
        base = f"{node.url}/socket.io/?EIO=4&transport=polling"
        async with http.get(base) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        url = f"{base}&sid={sid}"
        await (await http.post(url, data='40{"room":"demo"}')).read()
        storm = "\x1e".join(['42["like",{"count":1}]'] * 120)
        async with asyncio.timeout(30):
            statuses = [(await http.post(url, data=storm)).status for _ in range(4)]
        assert statuses[-1] == 400
        await until(lambda: node.gateway.server.connections == 0)
