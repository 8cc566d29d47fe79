"""What is answered to what comes in, by bytes: reports, limits on the bitrate, arrivals, goodbyes."""

from __future__ import annotations

import struct

import pytest

from streamd.whip.limits import WhipLimits
from streamd.whip.offer import TRANSPORT_CC, read_offer
from streamd.whip.reception import Reception, SourcesError
from tests.whip.offers import CHROMIUM, OBS, changed
from tests.whip.test_session import compound

OURS, PICTURE, SOUND = 7, 1_000, 2_000
EXTENSION = read_offer(CHROMIUM).tracks[1].extensions[TRANSPORT_CC]


def reception(offer: bytes = OBS) -> Reception:
    return Reception(offer=read_offer(offer), limits=WhipLimits(), ssrc=OURS)


def packet(number: int, *, kind: int = 96, ssrc: int = PICTURE, arrival: int | None = None) -> bytes:
    body = b"\x41" + bytes(20)
    if arrival is None:
        return struct.pack(">BBHII", 0x80, kind | 0x80, number, number * 3_000, ssrc) + body
    extension = struct.pack(">HHBHB", 0xBEDE, 1, EXTENSION << 4 | 1, arrival, 0)
    return struct.pack(">BBHII", 0x90, kind | 0x80, number, number * 3_000, ssrc) + extension + body


def goodbye(*ssrcs: int) -> bytes:
    return struct.pack(f">BBH{len(ssrcs)}I", 0x80 | len(ssrcs), 203, len(ssrcs), *ssrcs)


def kinds(datagram: bytes) -> list[int]:
    return [one[1] for one in compound(datagram)]


def test_nothing_came_and_nothing_is_said() -> None:
    assert reception().feedback(1_000_000) == b""


def test_a_peer_with_remb_is_told_its_limit_with_every_report() -> None:
    one = reception()
    one.receive(packet(1), 1_000_000)
    said = one.feedback(1_000_001)
    assert kinds(said)[:2] == [201, 202]
    assert b"REMB" in said
    assert one.feedback(1_000_002) == b""
    assert one.due_us > 1_000_002


def test_a_browser_is_told_its_arrivals_ten_times_a_second_and_no_limit() -> None:
    one = reception(CHROMIUM)
    heard = []
    for number in range(100):
        now_us = 1_000_000 + number * 10_000
        one.receive(packet(number, kind=102, arrival=number), now_us)
        if now_us >= one.due_us:
            heard.append(one.feedback(now_us))
    said = [part for data in heard for part in compound(data)]
    assert sum(part[1] == 205 and part[0] & 31 == 15 for part in said) == 10
    assert not any(b"REMB" in part for part in said)


def test_without_reduced_size_every_datagram_begins_with_a_report() -> None:
    for offer, first in ((CHROMIUM, 205), (changed(CHROMIUM, ("a=rtcp-rsize", "a=x")), 201)):
        one = reception(offer)
        one.receive(packet(1, kind=102, arrival=1), 1_000_000)
        one.feedback(1_000_000)
        one.receive(packet(2, kind=102, arrival=2), 1_150_000)
        assert kinds(one.feedback(1_150_000))[0] == first


def test_a_goodbye_counts_when_everything_that_was_heard_is_over() -> None:
    one = reception()
    assert not one.receive_control(goodbye(PICTURE), 1_000_000)
    one.receive(packet(1), 1_000_000)
    one.receive(packet(1, kind=111, ssrc=SOUND), 1_000_000)
    assert not one.receive_control(goodbye(PICTURE), 1_000_000)
    assert not one.receive_control(goodbye(12_345), 1_000_000)
    assert one.receive_control(goodbye(SOUND), 1_000_000)


def test_sources_without_end_are_an_error() -> None:
    one = reception()
    most = WhipLimits().sources_count
    for ssrc in range(most):
        one.receive(packet(1, ssrc=ssrc), 1_000_000)
    with pytest.raises(SourcesError):
        one.receive(packet(1, ssrc=most), 1_000_000)


def test_payload_types_that_were_not_agreed_on_are_passed_over() -> None:
    one = reception()
    for kind in range(128):
        if kind not in (96, 111):
            assert one.receive(packet(1, kind=kind, ssrc=kind), 1_000_000) == []
    assert one.feedback(2_000_000) == b""


def test_what_was_mended_is_told_once() -> None:
    one = reception()
    one.receive(b"\x80\x60", 1_000_000)
    one.receive(packet(1)[:11], 1_000_000)
    one.feedback(2_000_000)
    assert one.counts().get("rtp_malformed", 0) >= 1
    assert one.counts() == {}
