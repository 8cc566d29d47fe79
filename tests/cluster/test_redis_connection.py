"""Where the servers of a Redis are, and what their resets mean."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

import pytest

from streamd.cluster.redis import RedisBus
from streamd.cluster.redis_connection import url_of
from streamd.errors import UnavailableError
from tests.support.clock import FakeClock


@pytest.mark.parametrize(
    ("url", "address", "found"),
    [
        ("redis://cache/2", ("", 0), "redis://cache/2"),
        ("redis+cluster://cache:7000", ("10.0.0.2", 7001), "redis://10.0.0.2:7001"),
        ("redis+cluster://me:p%40ss@cache:7000", ("10.0.0.2", 7001), "redis://me:p%40ss@10.0.0.2:7001"),
        (
            "redis+cluster://:secret@cache:7000?protocol=3",
            ("2001:db8::2", 7001),
            "redis://:secret@[2001:db8::2]:7001?protocol=3",
        ),
        ("redis+cluster://cache:7000", ("", 7001), "redis://cache:7001"),
    ],
)
def test_address_of_a_master_keeps_what_the_clusters_says(url: str, address: tuple[str, int], found: str) -> None:
    assert url_of(url, address) == found


class Resetting(asyncio.Protocol):
    """Answers every command with a number, until its connection is reset as by a server that was killed."""

    transport: asyncio.Transport
    last: Resetting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Resetting.last = self
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        # Counts the arrays that begin in it: one for each command of a pipeline. HELLO and CLIENT take a number too.
        self.transport.write(b":0\r\n" * data.count(b"*"))

    def reset(self) -> None:
        plug = self.transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


async def test_connection_that_was_reset_between_two_commands_is_redis_away_and_nothing_worse() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Resetting, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    bus = RedisBus(f"redis://127.0.0.1:{port}?protocol=2", clock=FakeClock())
    try:
        assert await bus.run_script("return 0", []) == 0
        Resetting.last.reset()
        await asyncio.sleep(0.05)  # until the reset has come
        with pytest.raises(UnavailableError):
            await bus.run_script("return 0", [])
        assert await bus.run_script("return 0", []) == 0
    finally:
        await bus.aclose()
        server.close()
        await server.wait_closed()
