"""The reviewer outside: its verdict counts when it comes in time; silence is what the room says it is."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from danmaku.conduct import ChatSettings
from danmaku.review import WebhookReviewer
from streamd.clock import SystemClock
from tests.support.ports import free_port
from tests.support.rooms import RawClient, RoomNode, room_node

SECRET = "a secret of the shop and its reviewer"


class Asked(NamedTuple):
    """One request as the service got it."""

    said: dict[str, Any]
    body: bytes
    signature: str


@asynccontextmanager
async def reviewed_node(answer: Any) -> AsyncIterator[tuple[RoomNode, list[Asked]]]:
    asked: list[Asked] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked.append(Asked(json.loads(body), body, request.headers["Streamd-Signature"]))
        reply: web.StreamResponse = await answer(asked[-1].said["text"])
        return reply

    app = web.Application()
    app.router.add_post("/review", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with node_asking(f"http://127.0.0.1:{runner.addresses[0][1]}/review") as node:
        yield node, asked
    await runner.cleanup()


@asynccontextmanager
async def node_asking(url: str) -> AsyncIterator[RoomNode]:
    reviewer = WebhookReviewer(url, secret=SECRET, clock=SystemClock())
    async with room_node(reviewer=reviewer) as node:
        yield node
    await reviewer.aclose()


async def verdict(text: str) -> web.StreamResponse:
    if "slow" in text:
        await asyncio.sleep(1)
    if "broken" in text:
        return web.Response(text="not json")
    if "unknown" in text:
        return web.json_response({"verdict": "perhaps"})
    if "moved" in text:
        return web.Response(status=307, headers={"Location": "/elsewhere"})
    if "error" in text:
        return web.Response(status=500)
    if "bad" in text:
        return web.json_response({"verdict": "deny", "reason": "not here"})
    return web.json_response({"verdict": "allow"})


async def test_verdict_decides_and_its_reason_reaches_the_sender() -> None:
    async with reviewed_node(verdict) as (node, asked):
        alice = await RawClient.join(node.port, token="alice")
        assert (await alice.call("danmaku", {"id": "1", "text": "good"}))["ok"] is True
        ack = await alice.call("danmaku", {"id": "2", "text": "bad"})
        assert (ack["code"], ack["message"]) == ("reviewed", "not here")
        assert asked[0].said == {
            "room": "demo",
            "id": "1",
            "user": {"id": "u-alice", "name": "alice", "role": "viewer"},
            "text": "good",
        }
        await alice.close()


async def test_request_is_signed_over_its_time_and_body() -> None:
    async with reviewed_node(verdict) as (node, asked):
        alice = await RawClient.join(node.port, token="alice")
        await alice.call("danmaku", {"id": "1", "text": "喜欢 🎉"})
        [one] = asked
        time_field, _, signed = one.signature.partition(",v1=")
        seconds = time_field.removeprefix("t=")
        assert abs(int(seconds) - SystemClock().utc_ms() // 1_000) <= 5
        assert signed == hmac.new(SECRET.encode(), f"{seconds}.".encode() + one.body, hashlib.sha256).hexdigest()
        await alice.close()


SILENCES = ["slow", "broken", "error", "unknown", "moved"]


@pytest.mark.parametrize("text", SILENCES)
async def test_silence_is_what_the_room_says_it_is_and_never_takes_longer_than_the_budget(text: str) -> None:
    async with reviewed_node(verdict) as (node, _):
        alice = await RawClient.join(node.port, token="alice")
        began = asyncio.get_running_loop().time()
        assert (await alice.call("danmaku", {"id": "1", "text": text}))["ok"] is True
        assert asyncio.get_running_loop().time() - began < 0.6
        await node.gateway.set_chat("demo", ChatSettings(on_silence="block"))
        ack = await alice.call("danmaku", {"id": "2", "text": text})
        assert (ack["code"], ack["retry_after_ms"]) == ("review_silent", 2_000)
        again = await alice.call("danmaku", {"id": "2", "text": text})
        assert again["code"] == "review_silent"
        assert node.gateway.speech.reviews == {"silent": 3}
        await alice.close()


async def test_silence_may_hold_a_message_for_a_moderator_once_however_often_it_is_sent() -> None:
    async with reviewed_node(verdict) as (node, asked):
        await node.gateway.set_chat("demo", ChatSettings(on_silence="hold"))
        alice = await RawClient.join(node.port, token="alice")
        assert (await alice.call("danmaku", {"id": "1", "text": "error"}))["code"] == "held"
        assert (await alice.call("danmaku", {"id": "1", "text": "error"}))["code"] == "held"
        assert len(asked) == 1
        assert [each["id"] for each in await node.gateway.held("demo")] == ["1"]
        await node.gateway.review("demo", "1", show=True)
        assert (await alice.event("danmaku"))[0]["text"] == "error"
        await alice.close()


async def test_reviewer_that_is_dead_costs_a_message_no_time() -> None:
    async with node_asking(f"http://127.0.0.1:{free_port()}/review") as node:
        alice = await RawClient.join(node.port, token="alice")
        assert (await alice.call("danmaku", {"id": "1", "text": "anybody there"}))["ok"] is True
        await node.gateway.set_chat("demo", ChatSettings(on_silence="block"))
        assert (await alice.call("danmaku", {"id": "2", "text": "no"}))["code"] == "review_silent"
        await alice.close()


async def test_flood_over_a_slow_reviewer_asks_a_bounded_number_at_once() -> None:
    async with reviewed_node(verdict) as (node, asked):
        clients = [await RawClient.join(node.port, token=f"p{n}") for n in range(100)]
        acks = await asyncio.gather(*(each.call("danmaku", {"id": "1", "text": "slow"}) for each in clients))
        assert all(ack["ok"] for ack in acks)
        assert len(asked) <= 64
        for client in clients:
            await client.close()


async def test_staff_are_not_reviewed() -> None:
    async with reviewed_node(verdict) as (node, asked):
        host = await RawClient.join(node.port, token="ann/host")
        assert (await host.call("danmaku", {"id": "1", "text": "bad but mine"}))["ok"] is True
        assert asked == []
        await host.close()


async def test_messages_of_one_person_keep_their_order_whatever_the_reviewer_takes_for_each() -> None:
    async def patient(text: str) -> web.StreamResponse:
        await asyncio.sleep({"1": 0.12, "2": 0.0, "3": 0.06, "4": 1.0, "5": 0.0}[text])
        return web.json_response({"verdict": "allow"})

    async with reviewed_node(patient) as (node, _):
        alice = await RawClient.join(node.port, token="alice")
        for n in range(1, 6):
            alice.send(f'42{n}["danmaku",{{"id":"{n}","text":"{n}"}}]')
        heard: list[str] = []
        while len(heard) < 5:
            heard += [each["text"] for each in await alice.event("danmaku")]
        assert heard == ["1", "2", "3", "4", "5"]
        assert node.gateway.speech._under_review == {}
        await alice.close()
