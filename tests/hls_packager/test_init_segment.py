from __future__ import annotations

from dataclasses import replace
from struct import unpack_from

import pytest

from hls_packager.init_segment import init_number, init_segment
from hls_packager.model import TrackSet
from streamd.media.tracks import AudioTrack, Codec, VideoTrack
from tests.support.hls_media import AUDIO, AUDIO_44100, OPUS, VIDEO
from tests.support.mp4_boxes import Box, walk

HEVC = replace(VIDEO, codec=Codec.HEVC, config=b"\x01" + bytes(22), codec_string="hvc1.1.6.L93.B0")
AV1 = replace(VIDEO, codec=Codec.AV1, config=bytes.fromhex("81050c00"), codec_string="av01.0.05M.08")


def movie(tracks: TrackSet) -> Box:
    ftyp, moov = walk(init_segment(tracks))
    assert ftyp.body[:4] == b"iso6"
    assert ftyp.kind == b"ftyp"
    return moov


def sample_entry(trak: Box) -> tuple[bytes, bytes]:
    """Four letters and body of the one sample entry."""
    stsd = trak.one(b"mdia").one(b"minf").one(b"stbl").one(b"stsd")
    assert stsd.u32(4) == 1
    size, kind = unpack_from(">I4s", stsd.body, 8)
    assert 8 + size == len(stsd.body)
    return kind, stsd.body[16:]


def test_every_box_that_a_reader_needs_is_there() -> None:
    moov = movie(TrackSet(video=VIDEO, audio=AUDIO))
    assert [child.kind for child in moov.children] == [b"mvhd", b"trak", b"trak", b"mvex"]
    assert len(moov.one(b"mvhd").body) == 100
    for trak, handler, header in zip(moov.all(b"trak"), (b"vide", b"soun"), (b"vmhd", b"smhd"), strict=True):
        assert [child.kind for child in trak.children] == [b"tkhd", b"mdia"]
        assert len(trak.one(b"tkhd").body) == 84
        media = trak.one(b"mdia")
        assert [child.kind for child in media.children] == [b"mdhd", b"hdlr", b"minf"]
        assert media.one(b"hdlr").body[8:12] == handler
        minf = media.one(b"minf")
        assert [child.kind for child in minf.children] == [header, b"dinf", b"stbl"]
        tables = minf.one(b"stbl")
        assert [child.kind for child in tables.children] == [b"stsd", b"stts", b"stsc", b"stsz", b"stco"]
    assert [trex.u32(4) for trex in moov.one(b"mvex").all(b"trex")] == [1, 2]


def test_timescales_are_those_of_the_frames() -> None:
    moov = movie(TrackSet(video=VIDEO, audio=AUDIO_44100))
    assert [trak.one(b"mdia").one(b"mdhd").u32(12) for trak in moov.all(b"trak")] == [90_000, 44_100]


@pytest.mark.parametrize(
    ("track", "entry", "configuration"), [(VIDEO, b"avc1", b"avcC"), (HEVC, b"hvc1", b"hvcC"), (AV1, b"av01", b"av1C")]
)
def test_the_visual_sample_entry_holds_the_decoder_configuration(
    track: VideoTrack, entry: bytes, configuration: bytes
) -> None:
    kind, body = sample_entry(movie(TrackSet(video=track)).one(b"trak"))
    assert kind == entry
    assert unpack_from(">HH", body, 24) == (1280, 720)
    (box,) = walk(body, 78)
    assert (box.kind, box.body) == (configuration, track.config)


def test_pixels_that_are_not_square_are_said_so() -> None:
    track = replace(VIDEO, width=720, height=576, pixel_aspect=(16, 11))
    trak = movie(TrackSet(video=track)).one(b"trak")
    _, aspect = walk(sample_entry(trak)[1], 78)
    assert aspect.kind == b"pasp"
    assert (aspect.u32(0), aspect.u32(4)) == (16, 11)
    assert trak.one(b"tkhd").u32(76) >> 16 == 1047
    assert trak.one(b"tkhd").u32(80) >> 16 == 576


@pytest.mark.parametrize(
    ("track", "entry", "inside"), [(AUDIO, b"mp4a", b"esds"), (AUDIO_44100, b"mp4a", b"esds"), (OPUS, b"Opus", b"dOps")]
)
def test_the_audio_sample_entry_holds_the_decoder_configuration(track: AudioTrack, entry: bytes, inside: bytes) -> None:
    kind, body = sample_entry(movie(TrackSet(audio=track)).one(b"trak"))
    assert kind == entry
    assert unpack_from(">H", body, 16) == (2,)
    assert unpack_from(">I", body, 24)[0] >> 16 == track.sample_rate_hz
    (box,) = walk(body, 28)
    assert box.kind == inside
    assert track.config in box.body


def test_the_elementary_stream_descriptor_nests_by_the_byte() -> None:
    (esds,) = walk(sample_entry(movie(TrackSet(audio=AUDIO)).one(b"trak"))[1], 28)

    def descriptor(data: bytes) -> tuple[int, bytes, bytes]:
        size = 0
        for index in range(1, 5):
            size = size << 7 | data[index] & 0x7F
        return data[0], data[5 : 5 + size], data[5 + size :]

    tag, body, rest = descriptor(esds.body[4:])
    assert (tag, rest) == (3, b"")
    tag, decoder, rest = descriptor(body[3:])
    assert (tag, decoder[:2]) == (4, b"\x40\x15")
    assert descriptor(decoder[13:]) == (5, AUDIO.config, b"")
    assert descriptor(rest) == (6, b"\x02", b"")


def test_equal_tracks_give_equal_bytes_and_the_same_address() -> None:
    one = init_segment(TrackSet(video=VIDEO, audio=AUDIO))
    same = init_segment(TrackSet(video=replace(VIDEO), audio=replace(AUDIO)))
    other = init_segment(TrackSet(video=replace(VIDEO, width=720), audio=AUDIO))
    assert one == same
    assert init_number(one) == init_number(same)
    assert init_number(one) != init_number(other)
    assert 0 <= init_number(one) < 10**15
