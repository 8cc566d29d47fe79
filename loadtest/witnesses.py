"""Who would notice that something was lost, while a scenario breaks things: members of a room, its host, and buyers.

Members are stock Socket.IO clients, one at each address, who come back and resume as the pages do. The host says
something every half second, the buyers order; each asks again, under the same Idempotency-Key and at the next address,
until it is answered. What was answered must be there afterwards: heard by every member, and in the database once.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import socketio
from sqlalchemy import select

from loadtest.shop_floor import ROOM, Floor
from streamd.db.engine import open_engine
from streamd.db.shop_tables import orders

_SAY_EVERY_S = 0.5
_BUY_EVERY_S = 0.2
_PATIENCE = aiohttp.ClientTimeout(total=5)
_RETRY_S = 0.2
_SETTLE_S = 15.0
_GONE = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """Of one stretch of time."""

    placed: int  # orders that were answered
    order_wait_s: float  # the longest wait for one of them, with all that had to be asked again
    orders_lost: int  # answered, and not in the database
    orders_doubled: int  # in the database, and asked for by nobody
    said: int  # facts that the host was told are said
    missed: int  # by a member who was there before and after, over all members
    doubled: int
    breaks: int  # connections that members lost

    @property
    def lost(self) -> str:
        """In words, for a table."""
        words = {
            "orders": self.orders_lost,
            "orders twice": self.orders_doubled,
            "facts": self.missed,
            "facts twice": self.doubled,
        }
        return ", ".join(f"{count} {word}" for word, count in words.items() if count) or "nothing"


class Member:
    """One person in the room, at one address first and at the next one when it is away."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = list(urls)
        self._position: dict[str, object] | None = None
        self._known: set[int] = set()
        self.heard: Counter[str] = Counter()
        self.breaks = 0
        self.is_in = asyncio.Event()

    async def stay(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                await self._visit(session)
                await asyncio.sleep(_RETRY_S)

    async def _visit(self, session: aiohttp.ClientSession) -> None:
        client = socketio.AsyncClient(reconnection=False, http_session=session)
        client.on("welcome", self._welcome)
        client.on("*", self._hear)
        auth = {"room": ROOM, **({"resume": self._position} if self._position else {})}
        try:
            await client.connect(self._urls[0], auth=auth, transports=["websocket"], wait_timeout=5)
            await client.wait()
            self.breaks += 1
        except (socketio.exceptions.ConnectionError, *_GONE):
            self._urls.append(self._urls.pop(0))
        finally:
            self.is_in.clear()
            await client.shutdown()

    async def _welcome(self, said: Mapping[str, Any]) -> None:
        if not said["recovered"]:
            self._known.clear()
        self._position = {"epoch": said["epoch"], "seq": said["seq"]}
        self.is_in.set()

    async def _hear(self, event: str, said: Any) -> None:
        for one in said if isinstance(said, list) else [said]:
            seq = one.get("seq") if isinstance(one, dict) else None
            if not isinstance(seq, int) or seq in self._known or self._position is None:
                continue
            self._known.add(seq)
            self._position["seq"] = max(seq, int(str(self._position["seq"])))
            if event == "notice":
                self.heard[one["text"]] += 1


class Witnesses:
    """In a thread of their own until `stop`. `urls`: the nodes; `database_url`: where they keep their orders."""

    def __init__(self, urls: Sequence[str], floor: Floor, *, database_url: str) -> None:
        self._urls = list(urls)
        self._floor = floor
        self._database_url = database_url
        self._placed: list[str] = []
        self._said: list[str] = []
        self._longest_s = 0.0
        self._is_quiet = threading.Event()  # nothing new is asked for; what was asked is answered
        self._pending = 0
        self._loop = asyncio.new_event_loop()
        self._members: list[Member] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),), daemon=True)
        self._thread.start()
        if not self._ready.wait(20):
            raise RuntimeError("no member came into the room")

    def begin(self) -> None:
        """A stretch of time begins."""
        self._placed_before, self._said_before = len(self._placed), len(self._said)
        self._heard_before = [Counter(member.heard) for member in self._members]
        self._breaks_before = sum(member.breaks for member in self._members)
        self._longest_s = 0.0
        self._is_quiet.clear()

    def testify(self) -> Testimony:
        """It ends: everybody stops asking, and what was answered is looked for."""
        if not self._thread.is_alive():
            raise RuntimeError("the members, the host and the buyers have ended: standard error says why")
        self._is_quiet.set()
        _until(lambda: self._pending == 0)
        said = self._said[self._said_before :]
        _until(lambda: all(member.heard[text] for member in self._members for text in said))
        found = asyncio.run(_order_numbers(self._database_url))
        heard = [
            [member.heard[text] - before[text] for text in said]
            for member, before in zip(self._members, self._heard_before, strict=True)
        ]
        return Testimony(
            placed=len(self._placed) - self._placed_before,
            order_wait_s=self._longest_s,
            orders_lost=len(set(self._placed) - found),
            orders_doubled=len(found - set(self._placed)),
            said=len(said),
            missed=sum(count == 0 for each in heard for count in each),
            doubled=sum(max(0, count - 1) for each in heard for count in each),
            breaks=sum(member.breaks for member in self._members) - self._breaks_before,
        )

    def stop(self) -> None:
        """They go. Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)

    # --- in the thread ---

    async def _live(self) -> None:
        self._over = asyncio.Event()
        self._members = [Member([*self._urls[n:], *self._urls[:n]]) for n in range(len(self._urls))]
        self.begin()
        self._is_quiet.set()
        async with aiohttp.ClientSession(timeout=_PATIENCE) as client, asyncio.TaskGroup() as group:
            tasks = [group.create_task(member.stay()) for member in self._members]
            tasks.append(group.create_task(self._announce(client)))
            tasks += [group.create_task(self._buy(client, token)) for token in self._floor.tokens]
            for member in self._members:
                await member.is_in.wait()
            self._ready.set()
            await self._over.wait()
            for task in tasks:
                task.cancel()

    async def _announce(self, client: aiohttp.ClientSession) -> None:
        while True:
            text = f"fact {uuid.uuid4().hex}"
            if not self._is_quiet.is_set():
                await self._ask(client, f"/api/v1/rooms/{ROOM}/notices", {"text": text}, self._floor.host)
                self._said.append(text)
                self._pending -= 1
            await asyncio.sleep(_SAY_EVERY_S)

    async def _buy(self, client: aiohttp.ClientSession, token: str) -> None:
        body = {"room": ROOM, "sku_id": self._floor.skus[0], "count": 1}
        while True:
            if not self._is_quiet.is_set():
                began_s = time.monotonic()
                answer = await self._ask(client, "/api/v1/orders", body, token)
                self._longest_s = max(self._longest_s, time.monotonic() - began_s)
                self._placed.append(answer["order"])
                self._pending -= 1
            await asyncio.sleep(_BUY_EVERY_S)

    async def _ask(
        self, client: aiohttp.ClientSession, path: str, body: Mapping[str, object], token: str
    ) -> dict[str, Any]:
        """The answer, however often it takes. Leaves `_pending` to whoever has noted it."""
        self._pending += 1
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid.uuid4())}
        turn = 0
        while True:
            url = self._urls[turn % len(self._urls)]
            turn += 1
            try:
                async with client.post(url + path, json=body, headers=headers) as answer:
                    if answer.status < 300:
                        return dict(await answer.json()) if answer.status != 204 else {}
                    if answer.status < 500 and answer.status not in (409, 429):
                        raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")
            except _GONE:
                pass
            await asyncio.sleep(_RETRY_S)


async def _order_numbers(database_url: str) -> set[str]:
    engine = open_engine(database_url)
    try:
        async with engine.connect() as connection:
            return set((await connection.execute(select(orders.c.number))).scalars())
    finally:
        await engine.dispose()


def _until(holds: Callable[[], object]) -> None:
    """Wait for it, and not for ever: what does not come is what is told."""
    deadline = time.monotonic() + _SETTLE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
