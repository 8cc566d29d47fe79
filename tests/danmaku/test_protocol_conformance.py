"""Engine.IO v4 and Socket.IO v5 as their specifications have them, case by case, against a real server.

What rooms leave out on purpose is refused in the way the protocols provide: other namespaces by CONNECT_ERROR, binary
by the end of the connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from danmaku.settings import RoomSettings
from danmaku.socket import TransportSettings
from tests.danmaku.test_nodes import until
from tests.support.rooms import RawClient, RoomNode, room_node

PING_MS, TIMEOUT_MS, CONNECT_MS = 300, 200, 1_000
SETTINGS = RoomSettings(
    transport=TransportSettings(ping_interval_ms=PING_MS, ping_timeout_ms=TIMEOUT_MS, connect_timeout_ms=CONNECT_MS)
)
JOIN = '40{"room":"demo"}'


class Polling:
    """A long-polling client that sends what it is told."""

    def __init__(self, http: aiohttp.ClientSession, node: RoomNode) -> None:
        self._http = http
        self.base = f"{node.url}/socket.io/?EIO=4&transport=polling"
        self.opening: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"{self.base}&sid={self.opening['sid']}"

    async def open(self) -> Polling:
        async with self._http.get(self.base) as answer:
            assert answer.status == 200
            text = await answer.text()
        assert text[0] == "0"
        self.opening = json.loads(text[1:])
        return self

    async def get(self) -> tuple[int, str]:
        async with self._http.get(self.url) as answer:
            return answer.status, await answer.text()

    async def post(self, body: str) -> tuple[int, str]:
        async with self._http.post(self.url, data=body.encode()) as answer:
            return answer.status, await answer.text()

    async def join(self) -> Polling:
        await self.open()
        assert await self.post(JOIN) == (200, "ok")
        while '42["welcome"' not in (await self.get())[1]:
            pass
        return self


@asynccontextmanager
async def node_and_http() -> AsyncIterator[tuple[RoomNode, aiohttp.ClientSession]]:
    async with room_node(settings=SETTINGS) as node, aiohttp.ClientSession() as http:
        yield node, http


@asynccontextmanager
async def web_socket(node: RoomNode, *, first: str = "") -> AsyncIterator[RawClient]:
    client = await RawClient.open(node.port)
    try:
        client.opening = json.loads((await client.packet())[1:])
        if first:
            client.send(first)
        yield client
    finally:
        await client.close()


async def ended(client: RawClient, *, within_s: float = 2) -> int | None:
    """The close code; fails when the connection goes on."""
    async with asyncio.timeout(within_s):
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await client.turn()
    return client.closed


# -- Engine.IO: handshake ----------------------------------------------------------------------------------------------


async def test_polling_session_opens_with_its_terms() -> None:
    async with node_and_http() as (node, http):
        opening = (await Polling(http, node).open()).opening
        assert set(opening) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
        assert opening["upgrades"] == ["websocket"]
        assert (opening["pingInterval"], opening["pingTimeout"]) == (PING_MS, TIMEOUT_MS)
        assert opening["maxPayload"] == SETTINGS.transport.max_message_bytes


async def test_web_socket_opens_with_its_terms_and_nothing_to_upgrade_to() -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node) as client:
        assert client.opening["upgrades"] == []
        assert (client.opening["pingInterval"], client.opening["pingTimeout"]) == (PING_MS, TIMEOUT_MS)


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", "transport=polling"),
        ("GET", "EIO=abc&transport=polling"),
        ("GET", "EIO=3&transport=polling"),
        ("GET", "EIO=4"),
        ("GET", "EIO=4&transport=abc"),
        ("POST", "EIO=4&transport=polling"),
        ("GET", "EIO=4&transport=polling&sid=nobody"),
        ("POST", "EIO=4&transport=polling&sid=nobody"),
        ("GET", "EIO=4&transport=websocket"),
    ],
)
async def test_handshake_outside_the_protocol_is_400(method: str, query: str) -> None:
    async with node_and_http() as (node, http), http.request(method, f"{node.url}/socket.io/?{query}") as answer:
        assert answer.status == 400
        assert node.gateway.server.connections == 0


async def test_other_methods_are_refused() -> None:
    async with node_and_http() as (node, http), http.put(f"{node.url}/socket.io/?EIO=4&transport=polling") as answer:
        assert answer.status == 405


# -- Engine.IO: messages, heartbeats, closing --------------------------------------------------------------------------


async def test_polling_payload_of_several_packets_is_taken_whole_and_answered_in_order() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        likes = "\x1e".join(f'42{n}["like",{{"count":1}}]' for n in range(3))
        assert await polling.post(likes) == (200, "ok")
        heard: list[str] = []
        while len(heard) < 3:
            heard += [each for each in (await polling.get())[1].split("\x1e") if each.startswith("43")]
        assert heard == [f'43{n}[{{"ok":true,"accepted":1}}]' for n in range(3)]


async def test_polling_session_is_pinged_and_lives_while_it_answers() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        pings = 0
        while pings < 3:
            status, text = await polling.get()
            assert status == 200
            if "2" in text.split("\x1e"):
                pings += 1
                assert await polling.post("3") == (200, "ok")


async def test_polling_session_that_answers_no_ping_is_ended_and_unknown_from_then_on() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        await until(lambda: node.gateway.server.connections == 0, within_s=3)
        assert (await polling.get())[0] == 400
        assert (await polling.post("3"))[0] == 400


async def test_second_poll_at_the_same_time_ends_the_session() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        answers = await asyncio.gather(polling.get(), polling.get())
        assert 400 in [status for status, _ in answers]
        await until(lambda: node.gateway.server.connections == 0)
        assert (await polling.get())[0] == 400


@pytest.mark.parametrize("body", ["abc", "9", "4abc", "42{}", '42["like"', ""])
async def test_polling_session_that_sends_no_packet_is_ended(body: str) -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        status, _ = await polling.post(body)
        assert status in (200, 400)
        await until(lambda: node.gateway.server.connections == 0)
        assert (await polling.get())[0] == 400


async def test_polling_session_that_says_close_is_ended() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        assert (await polling.post("1"))[0] == 200
        await until(lambda: node.gateway.server.connections == 0)
        assert (await polling.get())[0] == 400


async def test_web_socket_is_pinged_and_one_that_is_silent_is_ended() -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node, first=JOIN) as client:
        while (await client.packet()) != "2":
            pass
        client.send("3")
        while (await client.packet()) != "2":
            pass
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(30):
                while True:
                    await client.packet()
        assert node.gateway.server.connections == 0


@pytest.mark.parametrize("packet", ["1", "abc", "9", "", "4abc", "4"])
async def test_web_socket_that_says_close_or_no_packet_is_ended(packet: str) -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node, first=JOIN) as client:
        client.send(packet)
        await ended(client)
        await until(lambda: node.gateway.server.connections == 0)


# -- Engine.IO: upgrade ------------------------------------------------------------------------------------------------


async def upgraded(node: RoomNode, polling: Polling) -> RawClient:
    client = await RawClient.open(node.port, query=f"EIO=4&transport=websocket&sid={polling.opening['sid']}")
    client.send("2probe")
    assert await client.packet() == "3probe"
    client.send("5")
    return client


async def test_upgrade_goes_by_the_probe_and_the_session_goes_on_over_the_web_socket() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        client = await upgraded(node, polling)
        assert await client.call("like", {"count": 2}) == {"ok": True, "accepted": 2}
        assert node.gateway.server.connections == 1
        await client.close()


async def test_poll_that_waits_is_let_go_by_the_probe_with_a_noop() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        client = await RawClient.open(node.port, query=f"EIO=4&transport=websocket&sid={polling.opening['sid']}")

        async def probe() -> None:
            await asyncio.sleep(0.05)
            client.send("2probe")

        (_, text), _ = await asyncio.gather(polling.get(), probe())
        assert text in ("6", "2", "2\x1e6")
        await client.close()


async def test_after_the_upgrade_requests_of_the_old_transport_are_400() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        client = await upgraded(node, polling)
        await client.call("like", {"count": 1})
        assert (await polling.get())[0] == 400
        assert (await polling.post("3"))[0] == 400
        second = await RawClient.open(node.port, query=f"EIO=4&transport=websocket&sid={polling.opening['sid']}")
        assert " 400 " in second.head.splitlines()[0]
        assert await client.call("like", {"count": 1}) == {"ok": True, "accepted": 1}
        await client.close()
        await second.close()


async def test_session_is_tried_by_one_web_socket_at_a_time_and_stays_one_connection() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        query = f"EIO=4&transport=websocket&sid={polling.opening['sid']}"
        first = await RawClient.open(node.port, query=query)
        second = await RawClient.open(node.port, query=query)
        assert (" 101 " in first.head.splitlines()[0], " 400 " in second.head.splitlines()[0]) == (True, True)
        await first.close()  # it failed; the next may try
        async with asyncio.timeout(30):
            while " 101 " not in (third := await RawClient.open(node.port, query=query)).head.splitlines()[0]:
                await third.close()
        third.send("2probe")
        assert await third.packet() == "3probe"
        third.send("5")
        assert await third.call("like", {"count": 1}) == {"ok": True, "accepted": 1}
        assert node.gateway.server.connections == 1
        await third.close()
        await second.close()
        await until(lambda: node.gateway.server.connections == 0)
        assert node.gateway.server._addresses == {}


async def test_web_socket_that_never_proves_itself_is_ended_though_its_session_lives() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        client = await RawClient.open(node.port, query=f"EIO=4&transport=websocket&sid={polling.opening['sid']}")

        gone = False

        async def keep_alive() -> None:
            while not gone:
                if "2" in (await polling.get())[1].split("\x1e"):
                    await polling.post("3")

        async with asyncio.TaskGroup() as group:
            group.create_task(keep_alive())
            await ended(client, within_s=4)
            assert node.gateway.server.connections == 1
            gone = True
        await client.close()


async def test_web_socket_that_tries_is_ended_with_its_session() -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        client = await RawClient.open(node.port, query=f"EIO=4&transport=websocket&sid={polling.opening['sid']}")
        await polling.post("1")
        await ended(client, within_s=0.8)  # before its own time is up
        await client.close()
        await until(lambda: node.gateway.server.connections == 0)


# -- Socket.IO ---------------------------------------------------------------------------------------------------------


async def test_connect_is_answered_with_a_session_id_of_its_own() -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node, first=JOIN) as client:
        while client.connected is None:
            await client.turn()
        assert set(client.connected) == {"sid"}
        assert isinstance(client.connected["sid"], str)


async def test_unknown_namespace_is_refused_with_an_object_that_has_a_message_and_the_connection_goes_on() -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node) as client:
        client.send("40/custom,{}")
        assert await client.packet() == '44/custom,{"message":"Invalid namespace"}'
        client.send(JOIN)
        while client.connected is None:
            await client.turn()


async def test_connection_without_a_connect_is_ended_in_time() -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node) as client:
        began = asyncio.get_running_loop().time()
        await ended(client, within_s=4)
        assert 0.5 < asyncio.get_running_loop().time() - began < 3


@pytest.mark.parametrize("packet", ["4abc", "40abc", "40[]", '42["like",{"count":1}]', "45-[]"])
async def test_first_packet_that_is_no_connect_joins_nothing(packet: str) -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node) as client:
        client.send(packet)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await client.idle(0.3)
        assert client.connected is None
        assert node.gateway.entrance.joins == 0
        await until(lambda: node.gateway.server.connections == 0, within_s=3)


async def test_disconnect_of_the_namespace_leaves_the_room_and_no_event_follows() -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node, first=JOIN) as client:
        await client.event("welcome")
        client.send("41")
        await until(lambda: node.gateway.room_stats("demo").members_here == 0)  # type: ignore[union-attr]
        await node.gateway.publish("demo", "notice", {"n": 1})
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await client.idle(0.3)
        assert client.named("notice") == []


async def test_event_with_an_id_is_acknowledged_under_that_id_and_one_without_is_not() -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node, first=JOIN) as client:
        await client.event("welcome")
        client.send('42["like",{"count":1}]')
        client.send('42456["like",{"count":1}]')
        while not client.acks:
            await client.turn()
        assert client.acks == {456: {"ok": True, "accepted": 1}}
        client.send('427["surprise"]')
        while 7 not in client.acks:
            await client.turn()
        assert client.acks[7]["code"] == "unknown_event"


@pytest.mark.parametrize("packet", ["42abc", "42{}", "42[]", "42[null]", "42[{}]", "42[[]]", "42", "49[]", "4"])
async def test_event_outside_the_protocol_ends_the_connection(packet: str) -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node, first=JOIN) as client:
        await client.event("welcome")
        client.send(packet)
        assert await ended(client) in (1002, 1007)


@pytest.mark.parametrize("packet", ['451-["danmaku",{"_placeholder":true,"num":0}]', '461-1[{"_placeholder":true}]'])
async def test_binary_event_is_refused_with_its_code(packet: str) -> None:
    async with room_node(settings=SETTINGS) as node, web_socket(node, first=JOIN) as client:
        await client.event("welcome")
        client.send(packet)
        assert await ended(client) in (1002, 1003)


@pytest.mark.parametrize("body", ["x", "bzzz", "\x1e\x1e", "4" + "[" * 5_000, "9"])
async def test_polling_body_without_packets_ends_its_session_and_fills_no_log(
    body: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with node_and_http() as (node, http):
        polling = await Polling(http, node).join()
        assert (await polling.post(body))[0] == 400
        assert (await polling.post("3"))[0] == 400
        assert not [record for record in caplog.records if record.exc_info]
