"""A database with a room that sells, and buyers who are signed in: what a run of orders begins with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.opening import Accounts, open_accounts
from streamd.accounts.passwords import PasswordSettings
from streamd.clock import SystemClock
from streamd.cluster.rates import InProcessRates
from streamd.db.engine import open_engine
from streamd.db.migrate import upgrade
from streamd.db.shop_tables import products, room_products, skus
from streamd.telemetry.log import get_log

ROOM = "market"
PLENTY = 50_000_000
_PASSWORD = "correct horse"
# What is measured is orders, not argon2.
_CHEAP = PasswordSettings(time_cost=1, memory_kib=8)


@dataclass(frozen=True, slots=True)
class Floor:
    """Access tokens of the buyers and of the host, and ids of what they can buy."""

    tokens: list[str]
    skus: list[int]
    host: str


def set_up(database_url: str, *, data_dir: Path, buyers: int, goods: int, stock: int = PLENTY) -> Floor:
    """Migrate and fill an empty database. The server that is started on it needs `data_dir`, for the keys."""
    data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(database_url)
    return asyncio.run(_fill(database_url, data_dir, buyers, goods, stock))


def sign_in_again(database_url: str, *, data_dir: Path, floor: Floor) -> Floor:
    """The same people with tokens of now: those of before are good for a quarter of an hour."""

    async def sign_in() -> Floor:
        async with _opened(database_url, data_dir) as (accounts, _):
            tokens = [await _sign_in(accounts, f"buyer{number}") for number in range(len(floor.tokens))]
            return replace(floor, tokens=tokens, host=await _sign_in(accounts, "host"))

    return asyncio.run(sign_in())


@asynccontextmanager
async def _opened(database_url: str, data_dir: Path) -> AsyncIterator[tuple[Accounts, AsyncEngine]]:
    engine, clock = open_engine(database_url), SystemClock()
    try:
        accounts = open_accounts(
            engine=engine,
            clock=clock,
            data_dir=data_dir,
            throttle=InProcessRates(clock=clock),
            log=get_log("accounts"),
            passwords=_CHEAP,
        )
        yield accounts, engine
    finally:
        await engine.dispose()


async def _sign_in(accounts: Accounts, name: str) -> str:
    return (await accounts.sessions.sign_in(name, _PASSWORD, address=f"home of {name}")).access_token


async def _fill(database_url: str, data_dir: Path, buyers: int, goods: int, stock: int) -> Floor:
    async with _opened(database_url, data_dir) as (accounts, engine):
        await accounts.users.create("host", password=_PASSWORD, role="host")
        await accounts.rooms.create(ROOM, owner="host", stream_key=ROOM)
        tokens = []
        for number in range(buyers):
            await accounts.users.create(f"buyer{number}", password=_PASSWORD)
            tokens.append(await _sign_in(accounts, f"buyer{number}"))
        host = await _sign_in(accounts, "host")
        await _stock_up(engine, SystemClock().utc_ms(), goods, stock)
        return Floor(tokens, list(range(1, goods + 1)), host)


async def _stock_up(engine: AsyncEngine, now_ms: int, goods: int, stock: int) -> None:
    numbers = range(1, goods + 1)
    product = {"owner": "host", "description": "", "image": None, "currency": "CNY", "status": "active", "version": 1}
    times = {"created_at_ms": now_ms, "updated_at_ms": now_ms}
    sku = {"name": "", "price_minor": 990, "original_price_minor": None, "stock": stock, "buyer_limit": None}
    async with engine.begin() as connection:
        await connection.execute(
            insert(products), [product | times | {"id": n, "title": f"Goods {n}"} for n in numbers]
        )
        await connection.execute(
            insert(skus), [sku | {"id": n, "product_id": n, "position": 1, "is_offered": 1} for n in numbers]
        )
        await connection.execute(
            insert(room_products), [{"room_id": 1, "product_id": n, "position": n} for n in numbers]
        )
