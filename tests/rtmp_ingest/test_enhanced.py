"""Headers of Enhanced RTMP: extensions and multitrack taken off."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmp_ingest.enhanced import Packet, audio_packets, video_packets
from streamd.errors import ProtocolError


def parts(packets: list[Packet]) -> list[tuple[int, bytes, int, bytes, int]]:
    return [(p.kind, p.fourcc, p.track_id, p.data[p.start :], p.nanos) for p in packets]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"\x90hvc1config", 0),
        (b"\x91hvc1frames", 1),
        (b"\xa2hvc1", 2),
        (b"\xa3hvc1frames", 3),
        (b"\x84hvc1info", 4),
        (b"\xd4hvc1info", 4),
    ],
    ids=["sequence start", "coded frames", "sequence end", "coded frames x", "metadata", "metadata in a command frame"],
)
def test_a_packet_is_its_kind_its_codec_and_the_rest(raw: bytes, kind: int) -> None:
    assert parts(video_packets(raw)) == [(kind, b"hvc1", 0, raw[5:], 0)]


def test_a_command_frame_holds_no_packet() -> None:
    assert video_packets(b"\xd1\x00") == []


def test_audio_has_the_same_form() -> None:
    assert parts(audio_packets(b"\x91Opuspacket")) == [(1, b"Opus", 0, b"packet", 0)]


def test_one_track_of_many_is_named_by_its_number() -> None:
    assert parts(video_packets(b"\x96\x01hvc1\x05frame")) == [(1, b"hvc1", 5, b"frame", 0)]
    assert parts(audio_packets(b"\x95\x01mp4a\x02frame")) == [(1, b"mp4a", 2, b"frame", 0)]


def test_many_tracks_of_one_codec_say_their_sizes() -> None:
    raw = b"\x96\x11avc1" + b"\x00\x00\x00\x03one" + b"\x01\x00\x00\x03two"
    assert parts(video_packets(raw)) == [(1, b"avc1", 0, b"one", 0), (1, b"avc1", 1, b"two", 0)]


def test_many_tracks_of_many_codecs_say_their_codecs_too() -> None:
    raw = b"\x96\x20" + b"hvc1\x00\x00\x00\x03one" + b"av01\x07\x00\x00\x03two"
    assert parts(video_packets(raw)) == [(0, b"hvc1", 0, b"one", 0), (0, b"av01", 7, b"two", 0)]


def test_extensions_are_taken_off_and_nanoseconds_kept() -> None:
    nanos = b"\x02" + (123_456).to_bytes(3, "big") + b"\x03"
    assert parts(video_packets(b"\x97" + nanos + b"hvc1frame")) == [(3, b"hvc1", 0, b"frame", 123_456)]


def test_unknown_and_long_extensions_are_skipped() -> None:
    unknown = b"\x00\xaa\x57"  # one byte of type 5, then another extension
    long = b"\xff" + (299).to_bytes(2, "big") + bytes(300) + b"\x31"
    assert parts(audio_packets(b"\x97" + unknown + long + b"Opusx")) == [(1, b"Opus", 0, b"x", 0)]


def test_extensions_and_tracks_come_together() -> None:
    raw = b"\xa7\x02\x00\x00\x09\x06" + b"\x01hvc1\x03frame"
    assert parts(video_packets(raw)) == [(1, b"hvc1", 3, b"frame", 9)]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x91hvc",
        b"\x96",
        b"\x96\x31hvc1\x00x",
        b"\x96\x06hvc1\x00x",
        b"\x96\x07hvc1\x00x",
        b"\x97\x05\x00",
        b"\x96\x11hvc1\x00\x00\x00\x09short",
        b"\x97" + b"\x00\xaa\x07" * 500,
        b"\x96\x11hvc1" + bytes(4) * 300,
    ],
)
def test_what_is_cut_short_or_of_no_known_form_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        video_packets(raw)


@given(st.binary(min_size=1, max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_packets_or_a_protocol_error(raw: bytes) -> None:
    for read in (video_packets, audio_packets):
        try:
            packets = read(raw)
        except ProtocolError:
            continue
        assert all(packet.start <= len(packet.data) and len(packet.fourcc) == 4 for packet in packets)
