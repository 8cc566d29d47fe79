"""Buying from real nodes over HTTP: at once, through two processes, past a database that is killed, and paid for."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from sqlalchemy import func, select, text

from loadtest.shop_floor import ROOM, Floor, set_up
from streamd.db import shop_tables as tables
from streamd.db.engine import open_engine
from tests.support.mariadb import start_mariadb
from tests.support.server import RunningServer, start_server

UNLIMITED = {"STREAMD_API_WRITES_PER_S": "1000"}


def session() -> ClientSession:
    return ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=60))


async def ask(
    client: ClientSession, method: str, url: str, *, token: str = "", key: str = "", body: Any = None
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Idempotency-Key": key} if key else {}
    async with client.request(method, url, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def order(client: ClientSession, server: RunningServer, token: str, *, key: str = "") -> tuple[int, Any]:
    body = {"room": ROOM, "sku_id": 1, "count": 1}
    url = f"{server.http_url}/api/v1/orders"
    return await ask(client, "POST", url, token=token, key=key or str(uuid.uuid4()), body=body)


async def ledger(url: str) -> dict[str, int]:
    """Stock, and how many rows there are of what an order leaves behind."""
    engine = open_engine(url)
    async with engine.connect() as connection:
        found = {"stock": int(await connection.scalar(select(tables.skus.c.stock).where(tables.skus.c.id == 1)) or 0)}
        for name in ("orders", "order_steps"):
            found[name] = int(await connection.scalar(text(f"SELECT COUNT(*) FROM {name}")) or 0)
        expiries = select(func.count()).where(tables.jobs.c.kind == "order.expire")
        bubbles = select(func.count()).where(tables.outbox.c.event == "order")
        counts = select(func.sum(tables.buyer_counts.c.count))
        for name, query in (("jobs", expiries), ("facts", bubbles), ("counts", counts)):
            found[name] = int(await connection.scalar(query) or 0)
    await engine.dispose()
    return found


async def storm(servers: Sequence[RunningServer], floor: Floor) -> Counter[int]:
    """Every buyer at once, by turns at the servers: how they were answered."""
    async with session() as client, asyncio.TaskGroup() as group:
        turns = [
            group.create_task(order(client, servers[index % len(servers)], token))
            for index, token in enumerate(floor.tokens)
        ]
    return Counter(turn.result()[0] for turn in turns)


def test_two_hundred_buyers_at_two_processes_buy_exactly_the_fifty_there_are(tmp_path: Path, database_url: str) -> None:
    data = tmp_path / "data"
    floor = set_up(database_url, data_dir=data, buyers=200, goods=1, stock=50)
    env = {**UNLIMITED, "STREAMD_DATABASE_URL": database_url, "STREAMD_DATA_DIR": str(data)}
    with ExitStack() as ending:
        servers = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            servers.append(ending.enter_context(start_server(tmp_path / name, args=[], env=env)))
        answers = asyncio.run(storm(servers, floor))
    assert answers == {201: 50, 409: 150}
    left = asyncio.run(ledger(database_url))
    assert left == {"stock": 0, "orders": 50, "order_steps": 50, "jobs": 50, "facts": 50, "counts": 50}


@pytest.mark.timeout(180)
def test_a_database_that_is_killed_in_mid_order_loses_and_doubles_nothing(tmp_path: Path) -> None:
    buyers, each, data = 20, 12, tmp_path / "data"
    with start_mariadb(tmp_path, is_durable=True) as database:
        url = database.create_database()
        floor = set_up(url, data_dir=data, buyers=buyers, goods=1, stock=10_000)
        env = {**UNLIMITED, "STREAMD_DATABASE_URL": url}
        with start_server(tmp_path, args=[], env=env) as server:
            doing_well = asyncio.Event()

            async def persist(client: ClientSession, token: str, placed: list[str], trouble: Counter[str]) -> None:
                """One buyer: every order is asked for under its key until there is an answer."""
                for _ in range(each):
                    key = str(uuid.uuid4())
                    while True:
                        try:
                            status, answer = await order(client, server, token, key=key)
                        except (ClientError, TimeoutError) as error:
                            status, answer = 0, str(error)
                        if status == 201:
                            placed.append(answer["order"])
                            if len(placed) % (buyers * each // 4) == 0:
                                doing_well.set()
                            break
                        trouble[str(status)] += 1
                        assert status in (0, 503), answer
                        await asyncio.sleep(0.1)

            async def crash(doing_well: asyncio.Event) -> None:
                for _ in range(2):
                    doing_well.clear()
                    await doing_well.wait()
                    await asyncio.to_thread(database.kill)
                    await asyncio.sleep(0.5)
                    await asyncio.to_thread(database.start)

            async def run() -> tuple[list[str], Counter[str]]:
                placed: list[str] = []
                trouble: Counter[str] = Counter()
                async with session() as client, asyncio.TaskGroup() as group:
                    group.create_task(crash(doing_well))
                    for token in floor.tokens:
                        group.create_task(persist(client, token, placed, trouble))
                return placed, trouble

            placed, trouble = asyncio.run(run())
        count = buyers * each
        assert (len(placed), len(set(placed))) == (count, count)
        assert trouble["503"] > 0, "nobody noticed that the database was killed"
        left = asyncio.run(ledger(url))
    rows = {"orders": count, "order_steps": count, "jobs": count, "facts": count, "counts": count}
    assert left == {"stock": 10_000 - count, **rows}


async def sign_in(client: ClientSession, url: str, name: str) -> str:
    body = {"name": name, "password": "demo-password"}
    _, found = await ask(client, "POST", f"{url}/api/v1/sessions", body=body)
    token: str = found["access_token"]
    return token


async def until(client: ClientSession, url: str, token: str, status: str, *, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        _, found = await ask(client, "GET", url, token=token)
        if found["status"] == status:
            return found
        assert time.monotonic() < deadline, f"{found['status']} did not become {status}"
        await asyncio.sleep(0.05)


async def sell_tea(client: ClientSession, url: str, token: str) -> int:
    """The SKU's id."""
    tea = {"title": "Tea", "currency": "CNY", "skus": [{"price_minor": 990, "stock": 10}]}
    _, product = await ask(client, "POST", f"{url}/api/v1/products", token=token, body=tea)
    goods = {"products": [product["id"]]}
    status, _ = await ask(client, "PUT", f"{url}/api/v1/rooms/demo/products", token=token, body=goods)
    assert status == 200
    return int(product["skus"][0]["id"])


async def pay_url(client: ClientSession, url: str, token: str, number: str) -> str:
    """Once the sandbox gateway has started beside the node."""
    deadline = time.monotonic() + 60
    while True:
        status, found = await ask(client, "POST", f"{url}/api/v1/orders/{number}/payments", token=token, body={})
        if status == 201:
            page: str = found["pay_url"]
            return page
        assert (status, time.monotonic() < deadline) == (503, True), found
        await asyncio.sleep(0.2)


async def test_the_demo_sells_is_paid_and_gives_money_back(tmp_path: Path) -> None:
    env = {**UNLIMITED, "STREAMD_SHOP_ORDER_EXPIRY_MS": "4000"}
    with start_server(tmp_path, env=env) as server:
        url = server.http_url
        async with session() as client:
            host, alice = await sign_in(client, url, "host"), await sign_in(client, url, "alice")
            sku = await sell_tea(client, url, host)

            async def tap(action: str) -> str:
                """An order, and what its buyer does on the page of the gateway; its address."""
                wanted = {"room": "demo", "sku_id": sku}
                key = str(uuid.uuid4())
                _, made = await ask(client, "POST", f"{url}/api/v1/orders", token=alice, key=key, body=wanted)
                page = await pay_url(client, url, alice, made["order"])
                async with client.post(page, data={"action": action}) as answer:
                    assert answer.status == 200
                return f"{url}/api/v1/orders/{made['order']}"

            # The first one waits for the gateway to start, which may take longer than an order lives here.
            first = await tap("twice")
            await until(client, first, alice, "paid")
            status, _ = await ask(client, "POST", f"{first}/refund", token=host, body={"reason": "try"})
            assert status == 200
            late = await tap("late")
            failed = await tap("fail")
            await until(client, first, alice, "refunded")
            gone = await until(client, failed, alice, "cancelled")
            assert gone["history"][-1]["actor"] == "expiry"
            back = await until(client, late, alice, "refunded")
            assert [step["status"] for step in back["history"]] == [
                "created",
                "paying",
                "cancelled",
                "refunding",
                "refunded",
            ]
            _, goods = await ask(client, "GET", f"{url}/api/v1/products", token=host)
            assert goods["items"][0]["skus"][0]["stock"] == 10
        day = time.strftime("%Y-%m-%d", time.gmtime())
        report = server.run("reconcile", "--day", day)
        assert "no difference" in report.stdout
