"""Frames and packets: what a client sends is read however it is sliced; what it must not send ends its session."""

from __future__ import annotations

from contextlib import suppress

import engineio.packet
import pytest
import socketio.packet
from hypothesis import given, settings
from hypothesis import strategies as st

from danmaku import wire
from danmaku.errors import WireError


def masked(payload: bytes, opcode: int = wire.TEXT, *, final: bool = True, mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    head = bytes(((0x80 if final else 0) | opcode,))
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65_536:
        length = bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    return head + length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def read(data: bytes, step: int, max_bytes: int = 100_000) -> list[tuple[int, bytes]]:
    reader = wire.FrameReader(max_bytes=max_bytes)
    found: list[tuple[int, bytes]] = []
    for at in range(0, len(data), step):
        found += reader.feed(data[at : at + step])
    return found


CONVERSATION = (
    masked(b'40{"room":"demo"}')
    + masked(b"3")
    + masked(b'420["danmaku",{"id":"1","text":"' + "你好".encode() + b'"}]')
    + masked(b"x" * 126)
    + masked(b"y" * 70_000)
    + masked(b"", wire.PING)
    + masked(b"42", final=False)
    + masked(b"between", wire.PONG)
    + masked(b'["like",', 0, final=False)
    + masked(b'{"count":3}]', 0)
    + masked(b"\x03\xe8bye", wire.CLOSE)
)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1_000, 1_000_000])
def test_slicing_never_matters(step: int) -> None:
    assert read(CONVERSATION, step) == [
        (wire.TEXT, b'40{"room":"demo"}'),
        (wire.TEXT, b"3"),
        (wire.TEXT, '420["danmaku",{"id":"1","text":"你好"}]'.encode()),
        (wire.TEXT, b"x" * 126),
        (wire.TEXT, b"y" * 70_000),
        (wire.PING, b""),
        (wire.PONG, b"between"),
        (wire.TEXT, b'42["like",{"count":3}]'),
        (wire.CLOSE, b"\x03\xe8bye"),
    ]


@settings(max_examples=60)
@given(st.binary(max_size=400), st.binary(min_size=4, max_size=4), st.integers(1, 50))
def test_binary_payload_survives_any_mask_and_slices(payload: bytes, mask: bytes, step: int) -> None:
    assert read(masked(payload, wire.BINARY, mask=mask), step) == [(wire.BINARY, payload)]


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_give_messages_or_a_wire_error(data: bytes) -> None:
    with suppress(WireError):
        assert all(opcode in {1, 2, 8, 9, 10} for opcode, _ in read(data, 5))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x02hi", 1002),  # not masked
        (b"\xc1" + masked(b"hi")[1:], 1002),  # RSV1: compression was never agreed
        (masked(b"hi", 0x3), 1002),
        (masked(b"hi", 0), 1002),
        (masked(b"a", final=False) + masked(b"b"), 1002),
        (masked(b"p" * 126, wire.PING), 1002),
        (masked(b"p", wire.PING, final=False), 1002),
        (masked(b"\xff\xfe"), 1007),
        (masked(b"z" * 2_000), 1009),
        (masked(b"z" * 900, final=False) + masked(b"z" * 900, 0), 1009),
        (masked(b"", final=False) + masked(b"", 0, final=False) * 64, 1008),
    ],
)
def test_violation_ends_the_session_with_its_close_code(data: bytes, code: int) -> None:
    with pytest.raises(WireError) as caught:
        read(data, 10_000, max_bytes=1_000)
    assert caught.value.close_code == code


def test_oversized_message_is_refused_before_its_bytes_arrive() -> None:
    reader = wire.FrameReader(max_bytes=1_000)
    with pytest.raises(WireError):
        reader.feed(masked(b"z" * 70_000)[:14])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_server_frame_has_the_shortest_length_form(size: int) -> None:
    data = wire.frame(b"a" * size)
    assert data[0] == 0x81
    header = 2 if size < 126 else 4 if size < 65_536 else 10
    assert len(data) == header + size
    assert data[1] == (size if size < 126 else 126 if size < 65_536 else 127)


def test_accept_key_is_that_of_the_rfc() -> None:
    assert wire.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_packets_read_as_python_socketio_writes_them() -> None:
    for ours, kind, ack_id, data in (
        (b'2["like",{"count":3}]', socketio.packet.EVENT, None, ["like", {"count": 3}]),
        (b'217["like",{"count":3}]', socketio.packet.EVENT, 17, ["like", {"count": 3}]),
        (b'0{"room":"demo"}', socketio.packet.CONNECT, None, {"room": "demo"}),
        (b"1", socketio.packet.DISCONNECT, None, None),
    ):
        theirs = socketio.packet.Packet(kind, data=data, namespace="/", id=ack_id).encode()
        assert theirs.encode() == ours
        packet = wire.read_packet(ours)
        assert packet.kind == ours[0]
        assert packet.ack_id == (-1 if ack_id is None else ack_id)
        assert packet.namespace == b""


def test_packets_written_are_those_python_socketio_reads() -> None:
    def reread(packet: bytes) -> socketio.packet.Packet:
        outer = engineio.packet.Packet(encoded_packet=packet.decode())
        assert outer.packet_type == engineio.packet.MESSAGE
        return socketio.packet.Packet(encoded_packet=packet.decode()[1:])

    event = reread(wire.event_packet("card", b'{"seq":1}'))
    assert (event.packet_type, event.data) == (socketio.packet.EVENT, ["card", {"seq": 1}])
    ack = reread(wire.ack_packet(12, b'{"ok":true}'))
    assert (ack.packet_type, ack.id, ack.data) == (socketio.packet.ACK, 12, [{"ok": True}])
    connected = reread(wire.connect_packet("abc"))
    assert (connected.packet_type, connected.data) == (socketio.packet.CONNECT, {"sid": "abc"})
    refused = reread(wire.connect_error_packet(b'{"message":"no"}', b"/other"))
    assert (refused.packet_type, refused.namespace, refused.data) == (4, "/other", {"message": "no"})


def test_namespace_is_split_from_its_query_and_body() -> None:
    assert wire.read_packet(b'0/custom?a=1,{"x":1}') == (wire.SIO_CONNECT, b"/custom", -1, b'{"x":1}')
    assert wire.read_packet(b"0/custom") == (wire.SIO_CONNECT, b"/custom", -1, b"")
    assert wire.read_packet(b'2/,5["a"]') == (wire.SIO_EVENT, b"", 5, b'["a"]')


@pytest.mark.parametrize("message", [b"", b'51-["a",{"_placeholder":true,"num":0}]', b"9", b"2" + b"1" * 40 + b"[]"])
def test_packet_outside_the_protocol_is_refused(message: bytes) -> None:
    with pytest.raises(WireError):
        wire.read_packet(message)
