"""The header that load balancers send first: read from bytes, and obeyed by a server."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmp_ingest.limits import RtmpLimits, RtmpSettings
from rtmp_ingest.proxy_protocol import Announced, read_header
from streamd.errors import ProtocolError
from tests.rtmp_ingest.gates import house, until
from tests.rtmp_ingest.stage import CAPTURES

V2 = b"\r\n\r\n\x00\r\nQUIT\n"
TCP4 = V2 + struct.pack("!BBH4s4sHH", 0x21, 0x11, 12, bytes([203, 0, 113, 9]), bytes(4), 50_000, 1935)
TCP6 = V2 + struct.pack("!BBH16s16sHH", 0x21, 0x21, 36, bytes.fromhex("20010db8" + "0" * 23 + "1"), bytes(16), 7, 1935)
HEADERS = {
    b"PROXY TCP4 203.0.113.9 192.0.2.1 50000 1935\r\n": ("203.0.113.9", 50_000),
    b"PROXY TCP6 2001:db8::1 2001:db8::2 7 1935\r\n": ("2001:db8::1", 7),
    b"PROXY UNKNOWN\r\n": None,
    TCP4: ("203.0.113.9", 50_000),
    TCP6: ("2001:db8::1", 7),
    V2 + struct.pack("!BBH", 0x20, 0, 0): None,
}


@pytest.mark.parametrize("header", HEADERS, ids=["v1 TCP4", "v1 TCP6", "v1 unknown", "v2 TCP4", "v2 TCP6", "v2 local"])
def test_header_says_who_is_behind_it_however_it_is_sliced(header: bytes) -> None:
    for end in range(len(header)):
        assert read_header(header[:end]) is None, end
    assert read_header(header) == Announced(HEADERS[header], len(header))
    assert read_header(header + b"\x03rtmp") == Announced(HEADERS[header], len(header))


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x03" + bytes(1536),
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 nobody 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 203.0.113.9\r\n",
        b"PROXY " + b"x" * 200,
        V2 + struct.pack("!BBH", 0x21, 0x31, 0),
        V2 + struct.pack("!BBH", 0x11, 0x11, 12),
        V2 + struct.pack("!BBH", 0x21, 0x11, 60_000),
        V2 + struct.pack("!BBH", 0x21, 0x11, 4) + bytes(4),
    ],
)
def test_anything_else_is_refused_with_what_to_do(wrong: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_header(wrong)
    assert "STREAMD_RTMP_BEHIND_PROXY" in refused.value.fix


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda rest: V2 + rest)))
def test_any_bytes_are_a_header_or_refused_or_too_few(data: bytes) -> None:
    try:
        header = read_header(data)
    except ProtocolError:
        return
    assert header is None or 0 < header.size <= len(data)


CAPTURE = CAPTURES / "ffmpeg-5.1.9-bframes.c2s.bin"


async def is_cut_off(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(30):
        try:
            while await reader.read(4_096):
                pass
        except ConnectionResetError:
            return True
    return True


async def test_publisher_is_known_by_the_address_that_the_balancer_announced() -> None:
    async with house(settings=RtmpSettings(port=0, host="127.0.0.1", behind_proxy=True)) as at:
        _, writer = await asyncio.open_connection("127.0.0.1", at.server.port)
        for piece in (TCP4[:5], TCP4[5:], CAPTURE.read_bytes()):
            writer.write(piece)
            await writer.drain()
        await until(lambda: bool(at.gate.requests))
        assert at.gate.requests[0].peer == "203.0.113.9:50000"
        writer.close()


async def test_programs_of_this_machine_need_no_header() -> None:
    async with house(settings=RtmpSettings(port=0, host="127.0.0.1", behind_proxy=True)) as at:
        _, writer = await asyncio.open_connection("127.0.0.1", at.server.port)
        writer.write(CAPTURE.read_bytes())
        await until(lambda: bool(at.gate.requests))
        assert at.gate.requests[0].peer.startswith("127.0.0.1:")
        writer.close()


async def test_from_elsewhere_no_header_and_silence_are_cut_off() -> None:
    limits = RtmpLimits(handshake_ms=300)
    strict = RtmpSettings(port=0, host="127.0.0.1", behind_proxy=True, trusted_addresses=frozenset(), limits=limits)
    async with house(settings=strict) as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.server.port)
        writer.write(CAPTURE.read_bytes()[:1_537])
        assert await is_cut_off(reader)
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", at.server.port)
        assert await is_cut_off(silent)
        assert at.server.connections_count == 0
        assert at.gate.requests == []
        writer.close()
        silent_writer.close()
