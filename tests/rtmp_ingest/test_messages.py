"""Control messages, commands, metadata and aggregates."""

from __future__ import annotations

import pytest

from rtmp_ingest import amf0, messages
from rtmp_ingest.messages import Message, UserEvent, parse_command, parse_metadata, split_aggregate
from streamd.errors import ProtocolError


def tag(kind: int, time: int, payload: bytes) -> bytes:
    header = bytes([kind]) + len(payload).to_bytes(3, "big")
    header += (time & 0xFFFFFF).to_bytes(3, "big") + bytes([time >> 24]) + bytes(3)
    return header + payload + (11 + len(payload)).to_bytes(4, "big")


def test_publish_start_has_exactly_these_bytes() -> None:
    expected = (
        "0200086f6e537461747573000000000000000000050300056c6576656c0200067374617475730004636f64650200174e657453747265616d"
        "2e5075626c6973682e5374617274000b6465736372697074696f6e0200105374617274207075626c697368696e67000009"
    )
    message = messages.status(1, "status", "NetStream.Publish.Start", "Start publishing")
    assert message.payload.hex() == expected
    assert len(message.payload) == 105


def test_control_messages_have_the_forms_of_the_specification() -> None:
    assert messages.control(messages.SET_CHUNK_SIZE, 60_000).payload.hex() == "0000ea60"
    assert messages.peer_bandwidth(2_500_000).payload.hex() == "002625a002"
    assert messages.user_control(UserEvent.STREAM_BEGIN, 1).payload.hex() == "000000000001"


def test_a_command_is_read_from_amf0_and_from_its_amf3_wrapping() -> None:
    payload = amf0.encode("publish", 5, None, "key", "live")
    plain = parse_command(Message(20, 1, 0, payload))
    assert plain == parse_command(Message(17, 1, 0, b"\x00" + payload))
    assert (plain.name, plain.transaction, plain.text(1), plain.text(2), plain.text(9)) == (
        "publish",
        5.0,
        "key",
        "live",
        "",
    )


def test_arguments_behind_an_unreadable_one_are_let_go() -> None:
    command = parse_command(Message(20, 0, 0, amf0.encode("play", 0, None, "room") + b"\x11\x0a\x0b"))
    assert command.arguments == [None, "room"]


@pytest.mark.parametrize("payload", [b"", b"\x05", b"\x02\x00\x09shor", b"\xff"])
def test_a_command_without_a_name_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_command(Message(20, 0, 0, payload))


def test_a_number_may_come_as_text() -> None:
    command = messages.Command("deleteStream", 0, [None, "12", "demo-key", True, 3.0])
    assert [command.number(index) for index in range(6)] == [None, 12.0, None, 1.0, 3.0, None]


@pytest.mark.parametrize("kind", [18, 15])
def test_metadata_is_found_with_and_without_set_data_frame(kind: int) -> None:
    values = {"width": 640.0, "encoder": "x"}
    with_prefix = amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(values))
    without = amf0.encode("onMetaData", values)
    assert parse_metadata(Message(kind, 1, 0, with_prefix)) == values
    assert parse_metadata(Message(kind, 1, 0, without)) == values
    assert parse_metadata(Message(kind, 1, 0, amf0.encode("onTextData", values))) is None
    assert parse_metadata(Message(kind, 1, 0, amf0.encode("onMetaData"))) is None


def test_metadata_in_an_amf3_data_message_has_a_format_byte() -> None:
    assert parse_metadata(Message(15, 1, 0, b"\x00" + amf0.encode("onMetaData", {"a": 1.0}))) == {"a": 1.0}


def test_an_aggregate_is_rebased_to_its_own_time() -> None:
    payload = tag(9, 5_000, b"video") + tag(8, 5_023, b"audio") + tag(9, 4_990, b"earlier")
    parts = split_aggregate(Message(22, 1, 1_000, payload))
    assert parts == [
        Message(9, 1, 1_000, b"video"),
        Message(8, 1, 1_023, b"audio"),
        Message(9, 1, 990, b"earlier"),
    ]


def test_times_of_an_aggregate_wrap() -> None:
    payload = tag(8, 0xFFFFFFF0, b"a") + tag(8, 0x10, b"b")
    assert [part.timestamp for part in split_aggregate(Message(22, 1, 0xFFFFFFF0, payload))] == [0xFFFFFFF0, 0x10]


def test_an_aggregate_that_is_cut_off_gives_its_whole_tags() -> None:
    payload = tag(8, 0, b"whole") + tag(8, 20, b"cut off")[:-6]
    assert [part.payload for part in split_aggregate(Message(22, 1, 0, payload))] == [b"whole"]
    assert [part.payload for part in split_aggregate(Message(22, 1, 0, tag(8, 0, b"no pointer")[:-3]))] == [
        b"no pointer"
    ]


def test_an_aggregate_of_too_many_tags_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        split_aggregate(Message(22, 1, 0, tag(8, 0, b"") * 5000))
    assert refused.value.code == "aggregate_limit"


def test_an_aggregate_inside_an_aggregate_is_refused() -> None:
    inner = tag(8, 0, b"x")
    with pytest.raises(ProtocolError) as refused:
        split_aggregate(Message(22, 1, 0, tag(22, 0, inner)))
    assert refused.value.code == "aggregate_nested"
