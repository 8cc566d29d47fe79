"""Two nodes and a real Redis: one order, one count, one law; and what happens when Redis goes away and comes back."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from danmaku.alone import with_whole_log
from danmaku.conduct import ChatSettings, Sanction
from danmaku.settings import RoomSettings
from streamd.cluster.bus import A, Draft
from tests.support.redis import RedisServer, redis_server
from tests.support.rooms import RawClient, RoomNode, redis_nodes


async def until(check: Callable[[], bool], *, within_s: float = 5) -> None:
    async with asyncio.timeout(within_s):
        while not check():  # noqa: ASYNC110 - the nodes' own state, which nothing announces
            await asyncio.sleep(0.02)


def epoch_of(node: RoomNode) -> str:
    stats = node.gateway.room_stats("demo")
    assert stats is not None
    return stats.epoch


async def notices(client: RawClient, count: int) -> list[Any]:
    return [(await client.event("notice"))["n"] for _ in range(count)]


async def test_members_on_two_nodes_see_the_same_events_in_the_same_order() -> None:
    async with redis_server() as server, redis_nodes(server.url) as [(one, _), (two, _)]:
        here, there = await RawClient.join(one.port), await RawClient.join(two.port)

        async def talk(node: RoomNode, start: int) -> None:
            for n in range(start, start + 100):
                await node.gateway.publish("demo", "notice", {"n": n})

        async with asyncio.TaskGroup() as group:
            group.create_task(talk(one, 0))
            group.create_task(talk(two, 1_000))
            group.create_task(talk(two, 2_000))
        seen_here = [await here.event("notice") for _ in range(300)]
        seen_there = [await there.event("notice") for _ in range(300)]
        assert seen_here == seen_there
        assert [each["seq"] for each in seen_here] == list(range(1, 301))
        for start in (0, 1_000, 2_000):
            assert [e["n"] for e in seen_here if start <= e["n"] < start + 1_000] == list(range(start, start + 100))
        await here.close()
        await there.close()


async def test_node_without_members_of_a_room_receives_not_a_byte_of_it() -> None:
    settings = RoomSettings(linger_ms=100)
    async with redis_server() as server, redis_nodes(server.url, settings=settings) as [(one, _), (two, bus)]:
        here = await RawClient.join(one.port)
        visitor = await RawClient.join(two.port)
        await visitor.close()
        await until(lambda: two.gateway.room_stats("demo") is None)
        await asyncio.sleep(0.1)
        before = bus.received_bytes
        for n in range(50):
            await one.gateway.publish("demo", "notice", {"n": n})
        assert await notices(here, 50) == list(range(50))
        assert bus.received_bytes == before
        await here.close()


async def test_likes_and_online_are_exact_over_both_nodes() -> None:
    settings = RoomSettings(likes_pulse_ms=50, pulse_ms=100)
    async with redis_server() as server, redis_nodes(server.url, settings=settings) as [(one, _), (two, _)]:
        here = [await RawClient.join(one.port, token=f"a{n}") for n in range(3)]
        there = [await RawClient.join(two.port, token=f"b{n}") for n in range(2)]
        for client in (*here, *there):
            await client.call("like", {"count": 10})
            await client.call("like", {"count": 3})

        def counts(node: RoomNode) -> tuple[int, int, int]:
            stats = node.gateway.room_stats("demo")
            assert stats is not None
            return stats.likes, stats.online, stats.unique

        await until(lambda: counts(one) == counts(two) == (65, 5, 5))
        for client in (*here, *there):
            await client.close()


async def test_ban_settings_and_repeated_ids_hold_on_every_node() -> None:
    async with redis_server() as server, redis_nodes(server.url) as [(one, _), (two, _)]:
        here, there = await RawClient.join(one.port, token="alice"), await RawClient.join(two.port, token="alice")
        bob = await RawClient.join(two.port, token="bob")
        assert await here.call("danmaku", {"id": "same", "text": "once"}) == {"ok": True, "seq": 1}
        await asyncio.sleep(0.4)
        assert await there.call("danmaku", {"id": "same", "text": "once"}) == {"ok": True, "seq": 1}
        await one.gateway.set_chat("demo", ChatSettings(muted_all=True))
        assert (await bob.event("chat"))["muted_all"] is True
        assert (await bob.call("danmaku", {"id": "b", "text": "hi"}))["code"] == "muted_all"
        await one.gateway.sanction("demo", Sanction(user_id="u-alice", kind="ban", reason="fraud"))
        for client in (here, there):
            assert (await client.event("sanction"))["reason"] == "fraud"
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await client.idle(3)
        again = await RawClient.join(two.port, token="alice")
        assert again.refusal["data"]["code"] == "banned"
        assert [each["id"] for batch in bob.named("danmaku") for each in batch] == ["same"]
        for client in (here, there, bob, again):
            await client.close()


async def test_rates_are_shared_so_that_two_nodes_are_not_two_allowances() -> None:
    async with redis_server() as server, redis_nodes(server.url) as [(one, _), (two, _)]:
        here, there = await RawClient.join(one.port, token="alice"), await RawClient.join(two.port, token="alice")
        acks = []
        for n in range(4):
            acks.append(await here.call("danmaku", {"id": f"h{n}", "text": "hi"}))
            acks.append(await there.call("danmaku", {"id": f"t{n}", "text": "hi"}))
        assert sum(ack["ok"] for ack in acks) == 5
        assert {ack["code"] for ack in acks if not ack["ok"]} == {"rate_user"}
        await here.close()
        await there.close()


async def test_resume_works_on_another_node_after_the_first_one_died() -> None:
    async with redis_server() as server, redis_nodes(server.url) as [(one, _), (two, _)]:
        member = await RawClient.join(one.port)
        for n in range(5):
            await one.gateway.publish("demo", "notice", {"n": n})
        assert await notices(member, 5) == list(range(5))
        await member.close()
        epoch = epoch_of(one)
        await one.gateway.close(within_ms=200)
        for n in range(5, 9):
            await two.gateway.publish("demo", "notice", {"n": n})
        back = await RawClient.open(two.port)
        await back.packet()
        back.send(f'40{{"room":"demo","resume":{{"epoch":"{epoch}","seq":5}}}}')
        assert (await back.event("welcome"))["recovered"] is True
        assert await notices(back, 4) == [5, 6, 7, 8]
        await back.idle(0.1)
        assert back.named("notice") == []
        await back.close()


async def kill_pubsub(server: RedisServer) -> None:
    async with server.client() as client:
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


async def overflow_output_buffer(server: RedisServer) -> None:
    async with server.client() as client:
        await client.config_set("client-output-buffer-limit", "pubsub 1mb 1mb 1")
        channels = await client.execute_command("PUBSUB", "CHANNELS")
        for channel in channels:
            for _ in range(2):
                # What no node says: only the limit is of interest. It is published outside the line.
                with suppress(Exception):
                    await client.publish(channel, b"x" * 8_000_000)


@pytest.mark.parametrize("break_it", [kill_pubsub, overflow_output_buffer])
async def test_after_a_break_of_publications_every_node_hears_within_five_seconds_and_nothing_is_missing(
    break_it: Any,
) -> None:
    async with redis_server() as server, redis_nodes(server.url) as [(one, bus_one), (two, bus_two)]:
        here, there = await RawClient.join(one.port), await RawClient.join(two.port)
        await one.gateway.publish("demo", "notice", {"n": 0})
        await until(lambda: bus_two.received_bytes > 0)
        await break_it(server)
        for n in range(1, 30):
            await one.gateway.publish("demo", "notice", {"n": n})
            await asyncio.sleep(0.005)
        began = time.monotonic()
        assert await notices(there, 30) == list(range(30))
        assert time.monotonic() - began < 5
        assert await notices(here, 30) == list(range(30))
        await until(lambda: bus_one.ready() and bus_two.ready())
        assert bus_one.breaks + bus_two.breaks >= 1
        await here.close()
        await there.close()


async def test_paused_redis_leaves_local_rooms_going_and_nothing_is_lost_or_doubled_when_it_goes_on() -> None:
    async with redis_server() as server, redis_nodes(server.url) as [(one, bus_one), (two, _)]:
        here, there = await RawClient.join(one.port), await RawClient.join(two.port)
        await one.gateway.publish("demo", "notice", {"n": 0})
        assert await notices(there, 1) == [0]
        server.pause()
        began = time.monotonic()
        for n in range(1, 6):
            await one.gateway.publish("demo", "notice", {"n": n})
        for n in range(101, 104):
            await two.gateway.publish("demo", "notice", {"n": n})
        assert time.monotonic() - began < 5
        assert await notices(here, 6) == list(range(6))
        assert await notices(there, 3) == [101, 102, 103]
        assert one.gateway.room_stats("demo").is_alone  # type: ignore[union-attr]
        await until(lambda: not bus_one.ready())
        await here.idle(10 - (time.monotonic() - began))
        server.resume()
        resumed = time.monotonic()
        assert await notices(here, 3) == [101, 102, 103]
        assert await notices(there, 5) == [1, 2, 3, 4, 5]
        await until(lambda: bus_one.ready() and not one.gateway.room_stats("demo").is_alone)  # type: ignore[union-attr]
        await until(lambda: not two.gateway.room_stats("demo").is_alone)  # type: ignore[union-attr]
        assert time.monotonic() - resumed < 5
        assert epoch_of(one) == epoch_of(two)
        await one.gateway.publish("demo", "notice", {"n": 7})
        assert await notices(here, 1) == await notices(there, 1) == [7]
        for client in (here, there):
            await client.idle(0.3)
            assert client.named("notice") == []
            # Whoever was connected was told the position on the way out and on the way back.
            assert [welcome["recovered"] for welcome in client.named("welcome")] == [True, True]
            assert client.named("welcome")[-1]["epoch"] == epoch_of(one)
            await client.close()


async def test_restarted_redis_that_forgot_everything_is_told_the_state_and_rooms_go_on() -> None:
    async with redis_server() as server, redis_nodes(server.url) as [(one, bus_one), (two, bus_two)]:
        here, there = await RawClient.join(one.port), await RawClient.join(two.port)
        card = {"version": 1, "at_ms": 1, "product": {"id": 1, "title": "mug"}}
        await one.gateway.publish("demo", "card", card)
        await there.event("card")
        await here.call("sync", {})
        await server.stop()
        await one.gateway.publish("demo", "notice", {"n": 1})
        assert await notices(here, 1) == [1]
        await server.start()
        began = time.monotonic()
        await until(lambda: bus_one.ready() and bus_two.ready())
        for node in (one, two):
            await until(lambda node=node: not node.gateway.room_stats("demo").is_alone)  # type: ignore[misc]
        assert time.monotonic() - began < 5
        await until(lambda: epoch_of(one) == epoch_of(two))
        await two.gateway.publish("demo", "notice", {"n": 2})
        assert 2 in await notices(here, 1)
        late = await RawClient.open(two.port)
        await late.packet()
        late.send('40{"room":"demo"}')
        assert (await late.event("welcome"))["card"]["product"] == {"id": 1, "title": "mug"}
        for client in (here, there, late):
            await client.close()


class Ledger(asyncio.Protocol):
    """A member that notes (number, event) of every order it is told, at a few microseconds each."""

    ORDER = re.compile(rb'42\["order",\{"seq":(\d+),"n":(\d+)')

    def __init__(self) -> None:
        self.entries: list[tuple[bytes, bytes]] = []
        self.joined = asyncio.Event()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        auth = b'40{"room":"demo"}'
        self.transport.write(bytes((0x81, 0x80 | len(auth), 0, 0, 0, 0)) + auth)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = 0
        for match in self.ORDER.finditer(data):
            self.entries.append((match[1], match[2]))
            end = match.end()
        if b'"welcome"' in data:
            self.joined.set()
        # A number may be cut at the end of a read; one that is not followed by a comma is read again.
        while end and data[end : end + 1] != b"," and self.entries:
            self.entries.pop()
            end = data.rindex(b'42["order"', 0, end)
            break
        self._rest = data[max(end, len(data) - 400) :]


async def test_ledger_of_ten_thousand_events_over_two_nodes_with_stalled_readers() -> None:
    events, members = 10_000, 100
    loop = asyncio.get_running_loop()
    async with redis_server() as server, redis_nodes(server.url) as nodes:
        ledgers = []
        for n in range(members):
            _, ledger = await loop.create_connection(Ledger, "127.0.0.1", nodes[n % 2][0].port)
            await asyncio.wait_for(ledger.joined.wait(), 30)
            ledgers.append(ledger)
        stalled = ledgers.pop(10)
        stalled.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        stalled.transport.pause_reading()

        async def publish(node: RoomNode, first: int) -> None:
            for start in range(first, events, 100):
                numbers = range(start, min(start + 100, events), 2)
                orders = [{"n": n, "buyer": "a**e", "product_id": "p" * 100} for n in numbers]
                await asyncio.gather(*(node.gateway.publish("demo", "order", order) for order in orders))

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(publish(nodes[0][0], 0))
            group.create_task(publish(nodes[1][0], 1))
        await until(lambda: all(len(ledger.entries) >= events for ledger in ledgers), within_s=10)
        order = ledgers[0].entries
        numbers = [int(seq) for seq, _ in order]
        assert numbers == sorted(set(numbers))
        assert sorted(int(n) for _, n in order) == list(range(events))
        assert all(ledger.entries == order for ledger in ledgers)
        stats = nodes[0][0].gateway.room_stats("demo")
        assert stats is not None
        assert dict(stats.aborted_here) == {"slow": 1}
        assert stats.shed_here[0] == 0
        for ledger in (*ledgers, stalled):
            ledger.transport.abort()


async def test_more_than_a_tail_is_read_of_a_log_that_reaches_back_to_its_beginning() -> None:
    """A minute without Redis in a busy shop is more batches than a room begins with."""
    async with redis_server() as server, redis_nodes(server.url) as [(_, bus), _]:
        for n in range(1, 701):
            draft = Draft(A, "notice", b'"n":%d}' % n)
            await bus.append("busy", (draft,), taken=1, batch_id=f"x:{n}", min_seq=0, at_ms=n)
        memory = await bus.recall("busy")
        assert len(memory.batches) < 700
        whole = await with_whole_log(bus, "busy", memory)
        assert [batch.first for batch in whole.batches] == list(range(1, 701))
        shorter = await with_whole_log(bus, "busy", replace(memory, seq=600))
        assert shorter.batches[-1].last == 600
