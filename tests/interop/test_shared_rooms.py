"""Two real nodes that share Redis are one room; a node whose Redis is away says so, and is well again by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import socketio

from tests.support.redis import redis_masters, redis_server
from tests.support.server import RunningServer, start_server
from tests.support.web import eventually, get


async def test_members_of_two_nodes_hear_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with redis_server() as redis:
        env = {"STREAMD_REDIS_URL": redis.url}
        with start_server(tmp_path / "a", env=env) as first, start_server(tmp_path / "b", env=env) as second:
            await _one_likes_the_other_hears(first.http_url, second.http_url)


async def test_members_of_two_nodes_hear_each_other_through_a_redis_cluster(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with redis_masters() as masters:
        env = {"STREAMD_REDIS_URL": masters.url}
        with start_server(tmp_path / "a", env=env) as first, start_server(tmp_path / "b", env=env) as second:
            await _one_likes_the_other_hears(first.http_url, second.http_url)
            lost = masters.servers[0]
            await lost.stop()
            for node in (first, second):
                _wait_readiness(node, 503)
            await lost.start()
            for node in (first, second):
                _wait_readiness(node, 200)
            # Whether the room's counts were on the lost master or not: another total than before.
            await _one_likes_the_other_hears(second.http_url, first.http_url, likes=7)


def _wait_readiness(node: RunningServer, status: int) -> None:
    eventually(lambda: get(f"{node.http_url}/readyz"), lambda a: a.status == status, seconds=15, what=f"a {status}")


async def _one_likes_the_other_hears(first: str, second: str, *, likes: int = 3) -> None:
    heard: asyncio.Queue[int] = asyncio.Queue()
    here, there = socketio.AsyncClient(), socketio.AsyncClient()
    here.on("likes", lambda told: heard.put_nowait(int(told["total"])))
    try:
        await here.connect(first, auth={"room": "demo"}, transports=["websocket"], wait_timeout=10)
        await there.connect(second, auth={"room": "demo"}, transports=["websocket"], wait_timeout=10)
        answer = await there.call("like", {"count": likes}, timeout=10)
        assert answer["ok"]
        async with asyncio.timeout(30):
            while await heard.get() < likes:
                pass
    finally:
        await here.disconnect()
        await there.disconnect()


async def test_readiness_follows_redis(tmp_path: Path) -> None:
    async with redis_server() as redis:
        with start_server(tmp_path, env={"STREAMD_REDIS_URL": redis.url}) as server:
            await redis.stop()
            answer = eventually(
                lambda: get(f"{server.http_url}/readyz"), lambda a: a.status == 503, seconds=15, what="not ready"
            )
            assert answer.json()["checks"]["database"] == "ok"
            assert answer.json()["checks"]["bus"] != "ok"
            assert get(f"{server.http_url}/healthz").status == 200
            await redis.start()
            eventually(
                lambda: get(f"{server.http_url}/readyz"), lambda a: a.status == 200, seconds=15, what="ready again"
            )
