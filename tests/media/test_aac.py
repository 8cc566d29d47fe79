from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media import aac
from streamd.media.bits import BitstreamError
from tests.support.bit_writer import BitWriter
from tests.support.coded import flv_of, messages

CAPTURES = Path(__file__).parents[1] / "vectors" / "rtmp"


def config(asc: str) -> tuple[str, int, int, int]:
    track = aac.track_from_config(bytes.fromhex(asc))
    assert track.config == bytes.fromhex(asc)
    return track.codec_string, track.sample_rate_hz, track.channel_count, track.samples_per_frame


@pytest.mark.parametrize(
    ("asc", "told"),
    [
        ("1190", ("mp4a.40.2", 48_000, 2, 1024)),
        ("1210", ("mp4a.40.2", 44_100, 2, 1024)),
        ("1188", ("mp4a.40.2", 48_000, 1, 1024)),
        ("1230", ("mp4a.40.2", 44_100, 6, 1024)),
        ("1238", ("mp4a.40.2", 44_100, 8, 1024)),
        ("1214", ("mp4a.40.2", 44_100, 2, 960)),
        ("0a10", ("mp4a.40.1", 44_100, 2, 1024)),
    ],
)
def test_plain_configurations_are_read(asc: str, told: tuple[str, int, int, int]) -> None:
    assert config(asc) == told


@pytest.mark.parametrize(
    ("asc", "told"),
    [
        ("2b118800", ("mp4a.40.5", 48_000, 2, 2048)),  # SBR told first: 24 kHz core
        ("eb098800", ("mp4a.40.29", 48_000, 2, 2048)),  # PS: one channel coded, two come out
        ("139056e5a0", ("mp4a.40.5", 44_100, 2, 2048)),  # SBR told behind: 22.05 kHz core
        ("138856e5a54880", ("mp4a.40.29", 44_100, 2, 2048)),  # and PS behind that
        ("119056e500", ("mp4a.40.2", 48_000, 2, 1024)),  # told that there is none, as FFmpeg does
        ("119056e598", ("mp4a.40.5", 48_000, 2, 1024)),  # down-sampled SBR: the rate stays
        ("119056", ("mp4a.40.2", 48_000, 2, 1024)),  # a cut-off extension
        ("119056e5", ("mp4a.40.2", 48_000, 2, 1024)),
    ],
)
def test_spectral_band_replication_counts_in_output_samples(asc: str, told: tuple[str, int, int, int]) -> None:
    assert config(asc) == told


def test_object_types_beyond_31_are_refused_by_number() -> None:
    usac = BitWriter().u(5, 31).u(6, 10).u(4, 3).u(4, 2).padded()
    with pytest.raises(BitstreamError, match="42"):
        aac.track_from_config(usac)


def test_sample_rate_can_be_written_out() -> None:
    asc = BitWriter().u(5, 2).u(4, 15).u(24, 47_999).u(4, 2).u(3, 0).padded()
    assert aac.track_from_config(asc).sample_rate_hz == 47_999
    for rate in (0, 1, 500_000):
        with pytest.raises(BitstreamError):
            aac.track_from_config(BitWriter().u(5, 2).u(4, 15).u(24, rate).u(4, 2).u(3, 0).padded())


def program(*, front: str, side: str = "", back: str = "", low: int = 0) -> BitWriter:
    """An AudioSpecificConfig with a program_config_element: a letter for each element, s(ingle) or p(air)."""
    bits = BitWriter().u(5, 2).u(4, 4).u(4, 0).u(3, 0)
    bits.u(4, 0).u(2, 1).u(4, 4).u(4, len(front)).u(4, len(side)).u(4, len(back)).u(2, low).u(3, 1).u(4, 0)
    bits.u(1, 1).u(4, 1).u(1, 0).u(1, 1).u(3, 2)
    for tag, kind in enumerate(front + side + back):
        bits.u(1, int(kind == "p")).u(4, tag)
    for tag in range(low + 1):
        bits.u(4, tag)
    return bits


@pytest.mark.parametrize(
    ("elements", "channels"),
    [
        ({"front": "p"}, 2),
        ({"front": "sp", "back": "p", "low": 1}, 6),
        ({"front": "sp", "side": "p", "back": "p", "low": 1}, 8),
        ({"front": "s", "back": "s"}, 2),
    ],
)
def test_channels_of_a_program_are_counted(elements: dict[str, str | int], channels: int) -> None:
    assert aac.track_from_config(program(**elements).padded()).channel_count == channels  # type: ignore[arg-type]


def test_extension_is_found_behind_a_program_and_its_comment() -> None:
    asc = program(front="p").padded() + b"\x04text" + bytes.fromhex("56e5a0")
    track = aac.track_from_config(asc)
    assert (track.codec_string, track.sample_rate_hz, track.samples_per_frame) == ("mp4a.40.5", 44_100, 1024)


@pytest.mark.parametrize("asc", ["", "11", "1240", "1278", "1690", "2b0a8800", "f800", "2b", "1200", "11" * 600])
def test_configuration_that_makes_no_sense_is_refused(asc: str) -> None:
    with pytest.raises(BitstreamError):
        aac.track_from_config(bytes.fromhex(asc))


@pytest.mark.parametrize(
    ("capture", "told"),
    [
        ("obs-29.0.2.c2s.bin", (48_000, 2)),
        ("ffmpeg-5.1.9-bframes.c2s.bin", (48_000, 2)),
        ("gstreamer-1.22-rtmpsink.c2s.bin", (48_000, 2)),
        ("gstreamer-1.22-rtmp2sink.c2s.bin", (48_000, 2)),
    ],
)
def test_sequence_headers_of_real_encoders_are_read(capture: str, told: tuple[int, int]) -> None:
    data = (CAPTURES / capture).read_bytes()
    at = data.index(b"\xaf\x00\x11") + 2
    track = aac.track_from_config(data[at : at + 2])
    assert (track.sample_rate_hz, track.channel_count) == told


@pytest.mark.parametrize(
    ("rate", "layout", "channels"), [(44_100, "stereo", 2), (48_000, "mono", 1), (32_000, "5.1", 6)]
)
def test_what_ffmpeg_writes_is_told_as_it_was_asked_for(rate: int, layout: str, channels: int) -> None:
    flv = flv_of(None, "aac", rate=rate, layout=layout, seconds=0.1)
    track = aac.track_from_config(next(m.body for m in messages(flv) if m.body[:2] == b"\xaf\x00")[2:])
    assert (track.sample_rate_hz, track.channel_count, track.codec_string) == (rate, channels, "mp4a.40.2")


@given(st.binary(max_size=80))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_track_or_a_bitstream_error(asc: bytes) -> None:
    with suppress(BitstreamError):
        track = aac.track_from_config(asc)
        assert 4_000 <= track.sample_rate_hz <= 192_000
        assert track.channel_count > 0
        assert track.samples_per_frame > 0
