"""STUN by bytes: RFC 5769's own vectors, aioice as the other side, and everything else refused in silence."""

from __future__ import annotations

import secrets
import zlib

import pytest
from aioice import stun as peer
from hypothesis import given
from hypothesis import strategies as st

from streamd.whip import stun

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
# RFC 5769 2.1: a request by an ICE agent, with USERNAME "evtj:h6vY".
RFC_5769_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249"
    "c1b571a280280004e57a3bcf"
)


def request(*, username: str = "ours:theirs", password: bytes = PASSWORD, nominates: bool = False) -> bytes:
    message = peer.Message(
        message_method=peer.Method.BINDING, message_class=peer.Class.REQUEST, transaction_id=secrets.token_bytes(12)
    )
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 1
    if nominates:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password)
    return bytes(message)


def test_the_request_of_rfc_5769_is_read_and_authentic() -> None:
    read = stun.parse_request(RFC_5769_REQUEST)
    assert read is not None
    assert (read.username, read.nominates, read.is_controlled) == ("evtj:h6vY", False, True)
    assert stun.is_authentic(RFC_5769_REQUEST, read, PASSWORD)
    assert not stun.is_authentic(RFC_5769_REQUEST, read, PASSWORD[:-1])


@pytest.mark.parametrize("nominates", [False, True])
def test_a_request_of_aioice_is_read(nominates: bool) -> None:
    data = request(nominates=nominates)
    read = stun.parse_request(data)
    assert read is not None
    assert (read.username, read.nominates, read.is_controlled) == ("ours:theirs", nominates, False)
    assert stun.is_authentic(data, read, PASSWORD)


@pytest.mark.parametrize(
    ("host", "told"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "2001:db8::7"), ("::ffff:192.0.2.7", "192.0.2.7")],
)
def test_aioice_believes_our_answer(host: str, told: str) -> None:
    read = stun.parse_request(request())
    assert read is not None
    answer = peer.parse_message(stun.success(read, (host, 40_000), PASSWORD))
    assert answer.check_message_integrity(PASSWORD)
    assert answer.message_class == peer.Class.RESPONSE
    assert answer.transaction_id == read.transaction_id
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == (told, 40_000)


def test_a_role_conflict_is_told_as_487() -> None:
    read = stun.parse_request(request())
    assert read is not None
    answer = peer.parse_message(stun.role_conflict(read, PASSWORD))
    assert answer.check_message_integrity(PASSWORD)
    assert answer.message_class == peer.Class.ERROR
    assert answer.attributes["ERROR-CODE"] == (487, "Role Conflict")


def test_what_stands_behind_the_integrity_is_not_believed() -> None:
    data = bytearray(request())
    at = data.index(b"\x80\x28")
    sneaked = bytes(data[:at]) + b"\x00\x25\x00\x00" + bytes(data[at:])
    fixed = bytearray(sneaked)
    fixed[2:4] = (len(fixed) - 20).to_bytes(2, "big")
    fixed[-4:] = (zlib.crc32(bytes(fixed[:-8])) ^ 0x5354554E).to_bytes(4, "big")
    read = stun.parse_request(bytes(fixed))
    assert read is not None
    assert not read.nominates


@pytest.mark.parametrize("length", range(0, 88, 7))
def test_a_request_cut_short_is_none(length: int) -> None:
    assert stun.parse_request(request()[:length]) is None


def test_every_changed_bit_is_noticed() -> None:
    data = request()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        assert stun.parse_request(bytes(changed)) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_none(data: bytes) -> None:
    stun.parse_request(data)
    stun.parse_request(RFC_5769_REQUEST[:20] + data)
