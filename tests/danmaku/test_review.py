"""The reviewer outside: its verdict counts when it comes in time; silence is what the room says it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from danmaku.conduct import ChatSettings
from danmaku.review import WebhookReviewer
from tests.support.rooms import RawClient, RoomNode, room_node


@asynccontextmanager
async def reviewed_node(answer: Any) -> AsyncIterator[tuple[RoomNode, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(await request.json())
        reply: web.StreamResponse = await answer(asked[-1]["text"])
        return reply

    app = web.Application()
    app.router.add_post("/review", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        reviewer = WebhookReviewer(f"http://127.0.0.1:{runner.addresses[0][1]}/review", session=session)
        async with room_node(reviewer=reviewer) as node:
            yield node, asked
    await runner.cleanup()


async def verdict(text: str) -> web.StreamResponse:
    if "slow" in text:
        await asyncio.sleep(1)
    if "broken" in text:
        return web.Response(text="not json")
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
        assert asked[0] == {
            "room": "demo",
            "user": {"id": "u-alice", "name": "alice", "role": "viewer"},
            "text": "good",
        }
        await alice.close()


@pytest.mark.parametrize("text", ["slow", "broken", "error"])
async def test_silence_is_what_the_room_says_it_is_and_never_takes_longer_than_the_budget(text: str) -> None:
    async with reviewed_node(verdict) as (node, _):
        alice = await RawClient.join(node.port, token="alice")
        began = asyncio.get_running_loop().time()
        assert (await alice.call("danmaku", {"id": "1", "text": text}))["ok"] is True
        assert asyncio.get_running_loop().time() - began < 0.6
        await node.gateway.set_chat("demo", ChatSettings(on_silence="deny"))
        ack = await alice.call("danmaku", {"id": "2", "text": text})
        assert (ack["code"], ack["retry_after_ms"]) == ("review_silent", 2_000)
        again = await alice.call("danmaku", {"id": "2", "text": text})
        assert again["code"] == "review_silent"
        await alice.close()


async def test_staff_are_not_reviewed() -> None:
    async with reviewed_node(verdict) as (node, asked):
        host = await RawClient.join(node.port, token="ann/host")
        assert (await host.call("danmaku", {"id": "1", "text": "bad but mine"}))["ok"] is True
        assert asked == []
        await host.close()
