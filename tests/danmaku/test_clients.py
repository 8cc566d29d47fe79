"""Stock clients work unchanged: python-socketio's own, by WebSocket, by polling, and from one to the other."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from danmaku.settings import RoomSettings
from danmaku.socket import TransportSettings
from tests.support.rooms import RawClient, RoomNode, room_node

WEB = Path(__file__).parents[2] / "streamd" / "web"


@asynccontextmanager
async def stock(node: RoomNode, transports: list[str], **auth: Any) -> AsyncIterator[tuple[socketio.AsyncClient, Any]]:
    client = socketio.AsyncClient(reconnection=False)
    inbox: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def catch(event: str, data: Any) -> None:
        inbox.put_nowait((event, data))

    client.on("*", catch)
    await client.connect(node.url, transports=transports, auth={"room": "demo", **auth}, wait_timeout=10)
    try:
        yield client, inbox
    finally:
        await client.disconnect()


async def take(inbox: Any, event: str) -> Any:
    async with asyncio.timeout(30):
        while True:
            name, data = await inbox.get()
            if name == event:
                return data


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_python_client_joins_speaks_likes_and_hears(transports: list[str]) -> None:
    async with room_node() as node, stock(node, transports, token="alice") as (client, inbox):
        assert (await take(inbox, "welcome"))["me"]["name"] == "alice"
        ack = await client.call("danmaku", {"id": "1", "text": "你好"})
        assert ack == {"ok": True, "seq": 1}
        assert (await take(inbox, "danmaku"))[0]["text"] == "你好"
        assert await client.call("like", {"count": 2}) == {"ok": True, "accepted": 2}
        await node.gateway.publish("demo", "notice", {"text": "hi"})
        assert (await take(inbox, "notice"))["text"] == "hi"
        assert client.transport() == transports[-1]
        stats = node.gateway.room_stats("demo")
        assert stats is not None
        assert stats.members_here == 1


async def test_both_transports_hear_the_same_in_the_same_order() -> None:
    async with (
        room_node() as node,
        stock(node, ["polling"], token="poll") as (_, slow),
        stock(node, ["websocket"], token="ws") as (_, fast),
    ):
        for n in range(30):
            await node.gateway.publish("demo", "notice", {"n": n})
        for inbox in (slow, fast):
            assert [(await take(inbox, "notice"))["n"] for _ in range(30)] == list(range(30))


async def test_nothing_is_lost_or_doubled_while_a_client_upgrades_in_a_hot_room() -> None:
    async with room_node() as node:
        stop = asyncio.Event()

        async def talk() -> None:
            n = 0
            while not stop.is_set():
                await node.gateway.publish("demo", "notice", {"n": n})
                n += 1
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            await asyncio.sleep(0.05)
            for _ in range(5):
                async with stock(node, ["polling", "websocket"]) as (client, inbox):
                    first = (await take(inbox, "notice"))["n"]
                    got = [first] + [(await take(inbox, "notice"))["n"] for _ in range(40)]
                    assert got == list(range(first, first + 41))
                    assert client.transport() == "websocket"
            stop.set()


async def test_refused_client_gets_message_and_data() -> None:
    async with room_node() as node:
        for transports in (["websocket"], ["polling"]):
            client = socketio.AsyncClient(reconnection=False)
            refusals: list[Any] = []
            client.on("connect_error", refusals.append)
            with pytest.raises(socketio.exceptions.ConnectionError):
                await client.connect(node.url, transports=transports, auth={"room": "nowhere"}, wait_timeout=10)
            assert refusals[0]["data"]["code"] == "room_not_found"
            await client.disconnect()


async def test_post_with_a_storm_of_likes_is_taken_whole() -> None:
    async with room_node() as node, aiohttp.ClientSession() as http:
        base = f"{node.url}/socket.io/?EIO=4&transport=polling"
        async with http.get(base) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        url = f"{base}&sid={sid}"
        await (await http.post(url, data='40{"room":"demo"}')).read()
        likes = "\x1e".join(f'42{n}["like",{{"count":1}}]' for n in range(40))
        async with http.post(url, data=likes) as answer:
            assert answer.status == 200
        acks = 0
        async with asyncio.timeout(30):
            while acks < 40:
                async with http.get(url) as answer:
                    acks += sum(packet.startswith("43") for packet in (await answer.text()).split("\x1e"))
        assert acks == 40
        await (await http.post(url, data="1")).read()


async def test_other_origins_are_refused_on_both_transports() -> None:
    async with room_node() as node, aiohttp.ClientSession() as http:
        evil = {"Origin": "https://evil.example"}
        async with http.get(f"{node.url}/socket.io/?EIO=4&transport=polling", headers=evil) as answer:
            assert answer.status == 400
        client = await RawClient.open(node.port, headers="Origin: https://evil.example\r\n")
        assert "403" in client.head
        await client.close()
        client = await RawClient.open(node.port, headers=f"Origin: {node.url}\r\n")
        assert "101" in client.head
        await client.close()


async def test_origins_may_be_named_or_free() -> None:
    for allowed in ("*", ("https://shop.example",)):
        settings = RoomSettings(transport=TransportSettings(allowed_origins=allowed))
        async with room_node(settings=settings) as node:
            client = await RawClient.open(node.port, headers="Origin: https://shop.example\r\n")
            assert "101" in client.head
            await client.close()


SCRIPT = """
const { io } = require(process.argv[2]);
const url = process.argv[3];
const transports = process.argv[4].split(",");
const socket = io(url, { transports, auth: { room: "demo", token: "node" }, reconnection: false });
const out = { notices: [], transports: [] };
const fail = (why) => { console.error(why); process.exit(1); };
setTimeout(() => fail("timeout"), 8000);
socket.on("connect_error", (e) => fail("connect_error " + e.message));
socket.io.engine.on("upgrade", (t) => out.transports.push(t.name));
socket.on("welcome", async (w) => {
  out.welcome = w;
  out.ack = await socket.timeout(4000).emitWithAck("danmaku", { id: "n1", text: "from node" });
  out.like = await socket.timeout(4000).emitWithAck("like", { count: 3 });
  out.sync = await socket.timeout(4000).emitWithAck("sync", { epoch: w.epoch, seq: w.seq });
});
socket.on("danmaku", (list) => { out.danmaku = list; });
socket.on("notice", (n) => {
  out.notices.push(n.n);
  if (out.notices.length === 20 && out.sync) {
    out.last = socket.io.engine.transport.name;
    console.log(JSON.stringify(out));
    socket.disconnect();
    process.exit(0);
  }
});
"""


def node_client() -> str:
    found = WEB / "node_modules" / "socket.io-client"
    assert shutil.which("node"), "install nodejs: rooms are tested with the JavaScript client"
    assert found.exists(), "run `npm ci` in streamd/web: rooms are tested with its socket.io-client"
    return os.fspath(found)


@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket"])
async def test_javascript_client_joins_speaks_and_hears(transports: str) -> None:
    async with room_node() as node:
        program = await asyncio.create_subprocess_exec(
            "node",
            "-e",
            SCRIPT,
            "x",
            node_client(),
            node.url,
            transports,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            while (stats := node.gateway.room_stats("demo")) is None or not stats.seq:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            for n in range(20):
                await node.gateway.publish("demo", "notice", {"n": n})
            stdout, stderr = await program.communicate()
        assert program.returncode == 0, stderr.decode()
        out = json.loads(stdout)
        assert out["welcome"]["me"]["id"] == "u-node"
        assert out["ack"] == {"ok": True, "seq": 1}
        assert out["like"] == {"ok": True, "accepted": 3}
        assert out["sync"]["recovered"] is True
        assert out["danmaku"][0]["text"] == "from node"
        assert out["notices"] == list(range(20))
        assert out["last"] == transports.split(",")[-1]
