"""The publisher that load tests and the programme use, against servers that refuse, vanish and break the rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from rtmp_ingest import messages
from rtmp_ingest.client import PublishClient
from rtmp_ingest.connection import Connection
from rtmp_ingest.errors import RtmpRefusedError
from rtmp_ingest.read_holds import Why
from streamd.errors import InvalidError, ProtocolError, StreamdError, UnavailableError
from tests.rtmp_ingest.gates import KEY, house, until
from tests.rtmp_ingest.stage import CAPTURES, replay


@asynccontextmanager
async def served(answer: bytes, *, closes: bool = False) -> AsyncIterator[str]:
    """The address of a server that says one thing to whoever connects."""
    open_transports: list[asyncio.Transport] = []

    class Mumbler(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected = cast(asyncio.Transport, transport)
            open_transports.append(connected)
            if answer:
                connected.write(answer)
            if closes:
                connected.close()

    server = await asyncio.get_running_loop().create_server(Mumbler, "127.0.0.1", 0)
    try:
        yield f"rtmp://127.0.0.1:{server.sockets[0].getsockname()[1]}/live/key"
    finally:
        for transport in open_transports:
            transport.abort()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("url", ["http://host/live/key", "rtmp:///live", "nonsense"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidError):
        await PublishClient.connect(url, timeout_ms=1000)


async def test_an_address_in_an_error_has_no_key_in_its_query() -> None:
    with pytest.raises(InvalidError) as refused:
        await PublishClient.connect("http://host/live/room?key=secret", timeout_ms=1000)
    assert "secret" not in refused.value.one_line()


async def test_nobody_listening_is_unavailable() -> None:
    async with served(b"") as url:
        pass
    with pytest.raises(UnavailableError):
        await PublishClient.connect(url, timeout_ms=1000)


@pytest.mark.parametrize(
    ("answer", "closes", "error"),
    [
        (b"", False, UnavailableError),
        (b"", True, UnavailableError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, ProtocolError),
        (b"\x03" + bytes(3072) + b"\xc3" * 50, False, ProtocolError),
    ],
    ids=["silent", "closes", "not rtmp", "broken chunks"],
)
async def test_a_server_that_is_no_server_ends_the_attempt(
    answer: bytes, closes: bool, error: type[StreamdError]
) -> None:
    async with served(answer, closes=closes) as url:
        with pytest.raises(error):
            await PublishClient.connect(url, timeout_ms=300)


async def test_a_refusal_carries_the_servers_code_and_words() -> None:
    async with house() as at:
        with pytest.raises(RtmpRefusedError, match="No such stream key") as refused:
            await PublishClient.connect(at.url("wrong"), timeout_ms=5000)
        assert refused.value.status_code == "NetStream.Publish.Denied"


async def test_what_both_sides_know_is_negotiated() -> None:
    async with house() as at:
        client = await PublishClient.connect(
            at.url(), timeout_ms=5000, extras={"fourCcList": ["hvc1", "vp09"], "capsEx": 7}
        )
        assert client.server["fourCcList"] == ["hvc1"]
        assert client.server["capsEx"] == 7.0
        await client.close()


async def test_time_may_start_anywhere_and_go_back() -> None:
    played = replay([(CAPTURES / "obs-29.0.2.c2s.bin").read_bytes()])
    video = [frame for frame in played.frames if frame.track.is_video]
    times = [0xFFFFFF00, 0xFFFFFF80, 0x100000010, 0x100000000, 50, 20]
    async with house() as at:
        client = await PublishClient.connect(at.url(), timeout_ms=5000)
        client.announce(video[0].track)
        for time_ms, frame in zip(times, video, strict=False):
            client.push(frame._replace(dts=time_ms * 90))
        publication = await at.gate.publication()
        await publication.has(len(times))
        found = [frame.dts // 90 % 2**32 for frame in publication.frames]
        assert found == [time_ms % 2**32 for time_ms in times]
        await client.close()


async def test_drain_waits_for_a_slow_server_and_tells_of_its_end() -> None:
    async with house() as at:
        client = await PublishClient.connect(at.url(), timeout_ms=5000)
        (connection,) = at.server._connections
        assert isinstance(connection, Connection)
        connection._holds.hold(Why.BACKLOG)
        for _ in range(200):
            client.send_body(messages.VIDEO, 0, b"\x27\x02" + bytes(100_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.drain()
        connection.abort()
        with pytest.raises(UnavailableError):
            async with asyncio.timeout(30):
                await client.drain()
        await client.close()


async def test_pushing_into_a_lost_connection_is_harmless() -> None:
    async with house() as at:
        client = await PublishClient.connect(at.url(KEY), timeout_ms=5000)
        (connection,) = at.server._connections
        connection.abort()
        await client._gone.wait()
        client.send_body(messages.AUDIO, 0, b"\xaf\x01sound")
        await client.close()
        await client.close()


async def test_the_servers_pings_are_answered() -> None:
    async with house() as at:
        client = await PublishClient.connect(at.url(), timeout_ms=5000)
        (connection,) = at.server._connections
        connection._session.ping(77)
        connection._flush()
        await until(lambda: connection._session.pongs_count)
        await client.close()
