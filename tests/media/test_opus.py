from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media import opus
from streamd.media.bits import BitstreamError
from tests.support.coded import flv_of, messages

STEREO = b"OpusHead" + bytes.fromhex("01 02 3801 80bb0000 0000 00")


def test_header_turns_into_the_box_with_the_other_byte_order() -> None:
    track = opus.track_from_head(STEREO, track_id=1)
    assert track.config.hex() == "000201380000bb80000000"
    assert (track.codec_string, track.sample_rate_hz, track.channel_count) == ("opus", 48_000, 2)
    assert (track.samples_per_frame, track.track_id) == (960, 1)


@pytest.mark.parametrize(
    "head", [STEREO, b"OpusHead" + bytes.fromhex("01 06 3801 80bb0000 00ff 01 04 02 00 04 01 02 03 05")]
)
def test_header_is_restored_from_the_track(head: bytes) -> None:
    assert opus.head_of(opus.track_from_head(head)) == head


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"OpusHead",
        STEREO[:-1],
        b"OpusTags" + STEREO[8:],
        b"OpusHead\x10" + STEREO[9:],
        b"OpusHead\x01\x00" + STEREO[10:],
        b"OpusHead\x01\x03" + STEREO[10:],
        STEREO[:-1] + b"\x01",
    ],
)
def test_header_that_makes_no_sense_is_refused(head: bytes) -> None:
    with pytest.raises(BitstreamError):
        opus.track_from_head(head)


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        ("fc", 960),  # CELT 20 ms, one frame
        ("fd", 1920),  # two of equal size
        ("fe", 1920),  # two of different size
        ("ff03", 2880),  # three
        ("e0", 120),  # CELT 2.5 ms
        ("08", 960),  # SILK 20 ms
        ("18", 2880),  # SILK 60 ms
        ("1b02", 5760),
        ("60", 480),  # hybrid 10 ms
        ("", 0),
        ("ff", 0),
        ("ff3f", 0),  # 63 frames of 20 ms: longer than a packet may be
    ],
)
def test_duration_is_read_from_the_first_byte(packet: str, samples: int) -> None:
    assert opus.packet_samples(bytes.fromhex(packet)) == samples


def test_packets_of_libopus_last_as_long_as_their_timestamps_say() -> None:
    bodies = [m for m in messages(flv_of(None, "libopus", seconds=0.4)) if m.body[1:5] == b"Opus"]
    assert opus.track_from_head(next(m.body for m in bodies if m.body[0] == 0x90)[5:]).channel_count == 2
    packets = [m.body[5:] for m in bodies if m.body[0] == 0x91]
    assert {opus.packet_samples(packet) for packet in packets} == {960}


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_are_a_value_or_a_bitstream_error(data: bytes) -> None:
    assert 0 <= opus.packet_samples(data) <= 5_760
    with suppress(BitstreamError):
        opus.track_from_head(data)
    with suppress(BitstreamError):
        assert opus.track_from_head(b"OpusHead\x01" + data).sample_rate_hz == 48_000
