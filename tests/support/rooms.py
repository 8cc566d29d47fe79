"""Room nodes on free ports, and a WebSocket client that does nothing it is not told to."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from danmaku.conduct import Identity
from danmaku.gateway import RoomGateway
from danmaku.ports import Archive, Attendance, ConductBook, Reviewer, RoomFacts, SiteWords
from danmaku.settings import RoomSettings
from streamd.clock import SystemClock
from streamd.cluster.bus import RoomBus
from streamd.cluster.in_process import InProcessBus
from streamd.cluster.redis import RedisBus


class Catalogue:
    """Rooms that exist: all but `nowhere`."""

    async def facts(self, room: str) -> RoomFacts | None:
        return None if room == "nowhere" else RoomFacts(title=f"Room {room}", live=True)


async def identify(token: str, room: str) -> Identity | None:
    """Tokens read "name" or "name/role"; "bad" is no token."""
    name, _, role = token.partition("/")
    return None if name == "bad" else Identity(id=f"u-{name}", name=name, role=role or "viewer", level=3)


class RoomNode:
    """A gateway on a port of its own."""

    def __init__(self, gateway: RoomGateway, port: int) -> None:
        self.gateway = gateway
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def room_node(
    *,
    bus: RoomBus | None = None,
    settings: RoomSettings | None = None,
    book: ConductBook | None = None,
    archive: Archive | None = None,
    attendance: Attendance | None = None,
    reviewer: Reviewer | None = None,
    site_words: SiteWords | None = None,
) -> AsyncIterator[RoomNode]:
    clock = SystemClock()
    gateway = RoomGateway(
        bus=bus or InProcessBus(clock=clock),
        directory=Catalogue(),
        identify=identify,
        clock=clock,
        settings=settings,
        book=book,
        archive=archive,
        attendance=attendance,
        reviewer=reviewer,
        site_words=site_words,
    )
    app = web.Application()
    gateway.attach(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2_000)
    await site.start()
    port = runner.addresses[0][1]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(gateway.run())
        await asyncio.sleep(0)
        try:
            yield RoomNode(gateway, port)
        finally:
            await gateway.close(within_ms=1_000)
            running.cancel()
            await runner.cleanup()


@asynccontextmanager
async def redis_nodes(
    url: str, count: int = 2, *, settings: RoomSettings | None = None
) -> AsyncIterator[list[tuple[RoomNode, RedisBus]]]:
    """Nodes that meet in one Redis."""
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(count):
            bus = await stack.enter_async_context(_running_bus(url))
            nodes.append((await stack.enter_async_context(room_node(bus=bus, settings=settings)), bus))
        yield nodes


@asynccontextmanager
async def _running_bus(url: str) -> AsyncIterator[RedisBus]:
    bus = RedisBus(url, clock=SystemClock())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bus.run())
        async with asyncio.timeout(30):
            while not bus.ready():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        try:
            yield bus
        finally:
            running.cancel()
    await bus.aclose()


class RawClient:
    """A WebSocket without a library: frames in and out, pongs only when told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.events: list[tuple[str, Any]] = []
        self.acks: dict[int, Any] = {}
        self.refusal: Any = None
        self.connected: Any = None
        self.opening: dict[str, Any] = {}
        self.closed: int | None = None
        self._next_ack = 0

    @classmethod
    async def open(
        cls, port: int, *, query: str = "EIO=4&transport=websocket", headers: str = "", limit: int = 1 << 20
    ) -> RawClient:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /socket.io/?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
        )
        client = cls(reader, writer)
        client.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        return client

    head = ""

    @classmethod
    async def join(
        cls, port: int, room: str = "demo", *, token: str = "", resume: dict[str, Any] | None = None
    ) -> RawClient:
        async with asyncio.timeout(30):
            return await cls._join(port, room, token, resume)

    @classmethod
    async def _join(cls, port: int, room: str, token: str, resume: dict[str, Any] | None) -> RawClient:
        client = await cls.open(port)
        assert "101" in client.head, client.head
        client.opening = json.loads((await client.packet())[1:])
        auth: dict[str, Any] = {"room": room}
        if token:
            auth["token"] = token
        if resume is not None:
            auth["resume"] = resume
        client.send("40" + json.dumps(auth))
        while client.connected is None and client.refusal is None:
            await client.turn()
        if client.refusal is None:
            await client.event("welcome")
        return client

    def send_raw(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, text: str) -> None:
        payload = text.encode()
        mask = os.urandom(4)
        size = len(payload)
        head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
        self.writer.write(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    async def frame(self) -> tuple[int, bytes]:
        head = await self.reader.readexactly(2)
        size = head[1] & 0x7F
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return head[0], await self.reader.readexactly(size)

    async def packet(self) -> str:
        while True:
            first, payload = await self.frame()
            if first == 0x88:
                self.closed = int.from_bytes(payload[:2], "big")
                raise ConnectionResetError(f"closed {self.closed} {payload[2:].decode()}")
            if first == 0x81:
                return payload.decode()

    async def turn(self) -> str:
        """Read one packet and put it where it belongs."""
        async with asyncio.timeout(30):
            packet = await self.packet()
        if packet == "2":
            self.send("3")
        elif packet.startswith("40"):
            self.connected = json.loads(packet[2:])
        elif packet.startswith("44"):
            self.refusal = json.loads(packet[2:])
        elif packet.startswith("42"):
            name, payload = json.loads(packet[2:])
            self.events.append((name, payload))
        elif packet.startswith("43"):
            digits = packet[2 : packet.index("[")]
            self.acks[int(digits)] = json.loads(packet[2 + len(digits) :])[0]
        return packet

    async def event(self, name: str, *, timeout_s: float = 5) -> Any:
        """The next event of this name; what comes before it stays in `events`."""
        async with asyncio.timeout(timeout_s):
            seen = 0
            while True:
                for event, payload in self.events[seen:]:
                    if event == name:
                        self.events = [each for each in self.events if each[1] is not payload]
                        return payload
                seen = len(self.events)
                await self.turn()

    async def call(self, event: str, payload: Any, *, timeout_s: float = 5) -> Any:
        self._next_ack += 1
        number = self._next_ack
        self.send(f"42{number}" + json.dumps([event, payload]))
        async with asyncio.timeout(timeout_s):
            while number not in self.acks:
                await self.turn()
        return self.acks.pop(number)

    async def idle(self, seconds: float) -> None:
        """Read for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await self.turn()

    def named(self, name: str) -> list[Any]:
        return [payload for event, payload in self.events if event == name]

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
