"""RTCP: reports read, answers written in a form that another stack reads."""

from __future__ import annotations

import pytest
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
    unpack_remb_fci,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.whip import rtcp
from streamd.whip.rtcp import Goodbye, ReceptionReport, SenderReport

SENDER = RtcpSrPacket(
    ssrc=77,
    sender_info=RtcpSenderInfo(ntp_timestamp=0xE1234567_80000000, rtp_timestamp=90_000, packet_count=5, octet_count=9),
)
NAME = RtcpSdesPacket(chunks=[RtcpSourceInfo(ssrc=77, items=[(1, b"somebody")])])


def test_compound_of_report_name_and_goodbye_is_read() -> None:
    data = bytes(SENDER) + bytes(NAME) + bytes(RtcpByePacket(sources=[77, 78]))
    assert rtcp.parse(data) == [SenderReport(77, 0xE1234567_80000000, 90_000), Goodbye((77, 78))]


def test_what_follows_a_packet_whose_length_lies_is_left_alone() -> None:
    lying = bytearray(bytes(SENDER))
    lying[3] = 200
    assert rtcp.parse(bytes(SENDER) + bytes(lying)) == [SenderReport(77, 0xE1234567_80000000, 90_000)]


@given(st.binary(max_size=120))
@settings(max_examples=300)
def test_any_bytes_give_reports_or_nothing(data: bytes) -> None:
    rtcp.parse(data)
    rtcp.parse(bytes(SENDER) + data)


def report(lost: int) -> ReceptionReport:
    return ReceptionReport(
        ssrc=77,
        fraction_lost=12,
        cumulative_lost=lost,
        highest_sequence=0x1_0005,
        jitter=300,
        last_report=0x4567_8000,
        since_last_report=6_553,
    )


@pytest.mark.parametrize("lost", [0, 500, -3])
@pytest.mark.parametrize("cname", ["a", "ab", "abc", "abcd", "streamd"])
def test_receiver_report_and_name_are_read_by_another_stack(lost: int, cname: str) -> None:
    data = rtcp.receiver_report(sender_ssrc=5, reports=[report(lost)], cname=cname)
    found, name = RtcpPacket.parse(data)
    assert isinstance(found, RtcpRrPacket)
    block = found.reports[0]
    assert (found.ssrc, block.ssrc, block.fraction_lost, block.packets_lost) == (5, 77, 12, lost)
    assert (block.highest_sequence, block.jitter, block.lsr, block.dlsr) == (0x1_0005, 300, 0x4567_8000, 6_553)
    assert isinstance(name, RtcpSdesPacket)
    assert name.chunks[0].items == [(1, cname.encode())]


@given(st.sets(st.integers(0, 400), max_size=80), st.integers(0, 0xFFFF))
@settings(max_examples=60)
def test_nack_names_exactly_the_packets_asked_for(offsets: set[int], first: int) -> None:
    wanted = [(first + offset) & 0xFFFF for offset in sorted(offsets)]
    data = rtcp.nack(sender_ssrc=5, media_ssrc=77, sequences=wanted)
    if not wanted:
        assert data == b""
        return
    (found,) = RtcpPacket.parse(data)
    assert isinstance(found, RtcpRtpfbPacket)
    assert (found.fmt, found.ssrc, found.media_ssrc) == (1, 5, 77)
    assert [number & 0xFFFF for number in found.lost] == wanted  # aiortc counts on beyond the wrap


def test_nack_of_thousands_fits_a_datagram() -> None:
    data = rtcp.nack(sender_ssrc=5, media_ssrc=77, sequences=range(0, 60_000, 17))
    assert len(data) <= 1_100


def test_picture_loss_is_read_by_another_stack() -> None:
    (found,) = RtcpPacket.parse(rtcp.picture_loss(sender_ssrc=5, media_ssrc=77))
    assert isinstance(found, RtcpPsfbPacket)
    assert (found.fmt, found.ssrc, found.media_ssrc) == (1, 5, 77)


@pytest.mark.parametrize("bitrate", [1_000, 262_143, 2_500_000, 50_000_000])
def test_bitrate_is_read_by_another_stack(bitrate: int) -> None:
    (found,) = RtcpPacket.parse(rtcp.maximum_bitrate(sender_ssrc=5, media_ssrcs=[77, 78], bitrate_bps=bitrate))
    assert isinstance(found, RtcpPsfbPacket)
    told, ssrcs = unpack_remb_fci(found.fci)
    assert ssrcs == [77, 78]
    assert bitrate * 0.99 <= told <= bitrate
