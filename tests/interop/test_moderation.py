"""A host keeps order over HTTP, and the room obeys over Socket.IO: real server, stock client."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import socketio

from tests.support.server import RunningServer, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with start_server(tmp_path_factory.mktemp("moderation")) as running:
        yield running


def call(server: RunningServer, method: str, path: str, *, body: object = None, token: str = "") -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{server.http_url}/api/v1{path}", data=data, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def sign_in(server: RunningServer, name: str) -> str:
    status, answer = call(server, "POST", "/sessions", body={"name": name, "password": "demo-password"})
    assert status in (200, 201), answer
    token: str = answer["access_token"]
    return token


class Member:
    """A stock client that remembers what it heard."""

    def __init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection=False)
        self.heard: dict[str, asyncio.Queue[Any]] = {}
        for event in ("welcome", "danmaku", "retract", "sanction"):
            queue = self.heard[event] = asyncio.Queue()
            self.client.on(event, queue.put_nowait)

    async def join(self, server: RunningServer, token: str) -> dict[str, Any]:
        await self.client.connect(
            server.http_url, auth={"room": "demo", "token": token}, transports=["websocket"], wait_timeout=10
        )
        welcome: dict[str, Any] = await self.next("welcome")
        return welcome

    async def next(self, event: str) -> Any:
        async with asyncio.timeout(30):
            return await self.heard[event].get()

    async def say(self, message_id: str, text: str) -> dict[str, Any]:
        ack: dict[str, Any] = await self.client.call("danmaku", {"id": message_id, "text": text}, timeout=10)
        return ack


async def test_muted_member_is_told_why_and_lifted_mute_lets_them_speak(server: RunningServer) -> None:
    host, alice = sign_in(server, "host"), sign_in(server, "alice")
    member, watcher = Member(), Member()
    try:
        me = (await member.join(server, alice))["me"]
        await watcher.join(server, sign_in(server, "bob"))
        assert (await member.say("m-1", "hello"))["ok"]
        said = (await watcher.next("danmaku"))[0]
        assert (said["text"], said["user"]["id"]) == ("hello", me["id"])

        sanction = {"user_id": me["id"], "for_s": 600, "reason": "advertising"}
        status, answer = call(server, "POST", "/rooms/demo/mutes", body=sanction, token=host)
        assert (status, answer["kind"]) == (200, "mute")
        told = await member.next("sanction")
        assert (told["kind"], told["reason"]) == ("mute", "advertising")
        refused = await member.say("m-2", "buy mine")
        assert (refused["ok"], refused["code"]) == (False, "muted")

        assert call(server, "DELETE", f"/rooms/demo/mutes/{me['id']}", token=host)[0] == 204
        await member.next("sanction")
        assert (await member.say("m-3", "sorry"))["ok"]

        assert call(server, "DELETE", f"/rooms/demo/messages/{said['id']}", token=host)[0] == 204
        assert (await watcher.next("retract"))["ids"] == [said["id"]]
    finally:
        await member.client.disconnect()
        await watcher.client.disconnect()


async def test_banned_member_is_out_and_stays_out_until_let_in(server: RunningServer) -> None:
    host, bob = sign_in(server, "host"), sign_in(server, "bob")
    member = Member()
    me = (await member.join(server, bob))["me"]
    status, _ = call(server, "POST", "/rooms/demo/bans", body={"user_id": me["id"], "for_s": 60}, token=host)
    assert status == 200
    async with asyncio.timeout(30):
        await member.client.wait()
    with pytest.raises(socketio.exceptions.ConnectionError):
        await Member().join(server, bob)
    assert call(server, "DELETE", f"/rooms/demo/bans/{me['id']}", token=host)[0] == 204
    again = Member()
    await again.join(server, bob)
    await again.client.disconnect()


async def test_viewer_keeps_no_order(server: RunningServer) -> None:
    alice = sign_in(server, "alice")
    assert call(server, "POST", "/rooms/demo/bans", body={"user_id": "u", "for_s": 60}, token=alice)[0] == 403
    assert call(server, "POST", "/rooms/demo/bans", body={"user_id": "u", "for_s": 60})[0] == 401
