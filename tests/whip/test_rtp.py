"""RTP headers: what is taken off a payload, and what is refused."""

from __future__ import annotations

import struct

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtpPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.whip.rtp import extension, parse
from tests.support.rtp import packet


def test_plain_packet_is_read() -> None:
    found = parse(packet(b"media", sequence=7, timestamp=9_000, marker=True, payload_type=102, ssrc=77))
    assert found == (102, True, 7, 9_000, 77, b"media")


@pytest.mark.parametrize("csrcs", [(), (1, 2, 3)])
@pytest.mark.parametrize("ext", [None, (0xBEDE, b"\x10a\0\0"), (0x1000, b"\x01\x01a\0" * 5)])
@pytest.mark.parametrize("padding", [0, 1, 255])
def test_sources_extensions_and_padding_are_no_payload(
    csrcs: tuple[int, ...], ext: tuple[int, bytes] | None, padding: int
) -> None:
    data = packet(b"media", sequence=7, timestamp=1, csrcs=csrcs, extension=ext, padding=padding)
    found = parse(data)
    assert found is not None
    assert found.payload == b"media"


def test_packet_of_padding_alone_has_an_empty_payload() -> None:
    found = parse(packet(b"", sequence=7, timestamp=1, padding=224))
    assert found is not None
    assert found.payload == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80" + bytes(10),
        b"\x40" + bytes(30),  # version 1
        b"\x8f" + bytes(30),  # fifteen contributing sources, and room for less
        b"\x90" + bytes(11),  # an extension, and no room for its header
        b"\x90" + bytes(13) + b"\xff\xff",  # an extension longer than the packet
        b"\xa0" + bytes(12),  # padding of no bytes
        b"\xa0" + bytes(12) + b"\xff",  # more padding than packet
    ],
)
def test_bytes_that_are_no_packet_are_refused(data: bytes) -> None:
    assert parse(data) is None


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_any_bytes_give_a_packet_or_none(data: bytes) -> None:
    found = parse(data)
    if found is not None:
        assert data.endswith(found.payload) or data[0] & 0x20
    extension(data, 3)


def test_extensions_written_by_another_stack_are_found() -> None:
    mapping = HeaderExtensionsMap()
    mapping.configure(
        RTCRtpParameters(
            headerExtensions=[RTCRtpHeaderExtensionParameters(id=4, uri="urn:ietf:params:rtp-hdrext:sdes:mid")]
        )
    )
    theirs = RtpPacket(payload_type=96, sequence_number=1, timestamp=2, ssrc=3, payload=b"media")
    theirs.extensions = HeaderExtensions(mid="video0")
    data = theirs.serialize(mapping)
    assert extension(data, 4) == b"video0"
    assert extension(data, 5) is None


@pytest.mark.parametrize(
    ("profile", "data"),
    [
        (0xBEDE, b"\x00\x11xx\x20r" + b"\0\0"),
        (0x1000, b"\x00\x01\x02xx\x02\x01r"),
        (0x1005, b"\x01\x00\x02\x01r\0\0\0"),
    ],
)
def test_both_forms_of_extensions_are_walked(profile: int, data: bytes) -> None:
    assert extension(packet(b"", sequence=1, timestamp=1, extension=(profile, data)), 2) == b"r"


def test_reserved_element_ends_the_one_byte_form() -> None:
    data = packet(b"", sequence=1, timestamp=1, extension=(0xBEDE, b"\xf0\x20r\0"))
    assert extension(data, 2) is None


def test_extension_of_another_profile_is_not_searched() -> None:
    data = packet(b"", sequence=1, timestamp=1, extension=(0x1234, struct.pack(">I", 0x20727272)))
    assert extension(data, 2) is None
