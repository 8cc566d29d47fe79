"""The initialisation segment: what a decoder must know before the first part of a track set.

In: a `TrackSet`. Out: `ftyp` + `moov` with empty sample tables, video as track 1, audio as track 2. Equal track sets
give equal bytes, and the URI's number is derived from the bytes: an encoder that returns with the same configuration,
even after a restart of the server, is served under the same immutable address.

No edit lists: their handling differs between Media Source Extensions and AVPlayer, and B-frame delay is left in the
composition offsets. Source: ISO 14496-12, 14496-14 (mp4a), 14496-15 (avc1, hvc1), AV1-ISOBMFF 2.2, Opus-in-ISOBMFF 4.3.
"""

from __future__ import annotations

from hashlib import sha256
from struct import pack

from hls_packager.boxes import UNITY_MATRIX, box, descriptor, full_box
from hls_packager.model import TrackSet
from streamd.media.tracks import AudioTrack, Codec, Track, VideoTrack

VIDEO_TRACK_ID = 1
AUDIO_TRACK_ID = 2

_SAMPLE_ENTRY = {
    Codec.H264: (b"avc1", b"avcC"),
    Codec.HEVC: (b"hvc1", b"hvcC"),
    Codec.AV1: (b"av01", b"av1C"),
}
_UNDETERMINED = 0x55C4  # "und", three times five bits (ISO 639-2/T)


def init_segment(tracks: TrackSet) -> bytes:
    """The bytes of `init-{n}.mp4`."""
    traks, defaults = [], []
    for track, track_id in ((tracks.video, VIDEO_TRACK_ID), (tracks.audio, AUDIO_TRACK_ID)):
        if track is not None:
            traks.append(_trak(track, track_id))
            defaults.append(full_box(b"trex", 0, 0, pack(">5I", track_id, 1, 0, 0, 0)))
    movie = full_box(
        b"mvhd",
        0,
        0,
        pack(">4IIHH8x", 0, 0, 1_000, 0, 0x10000, 0x0100, 0),
        UNITY_MATRIX,
        pack(">24xI", 0xFFFFFFFF),  # next track id: unknown
    )
    return box(b"ftyp", b"iso6", pack(">I", 0), b"iso6cmfcmp41") + box(b"moov", movie, *traks, box(b"mvex", *defaults))


def init_number(data: bytes) -> int:
    """The number in the URI of an initialisation segment; the same for the same bytes, anywhere and at any time."""
    return int.from_bytes(sha256(data).digest()[:5], "big")


def _trak(track: Track, track_id: int) -> bytes:
    if isinstance(track, VideoTrack):
        handler, name, media_header = b"vide", b"video\0", full_box(b"vmhd", 0, 1, bytes(8))
        entry, volume = _visual_entry(track), 0
        width, height = _display_size(track)
    else:
        handler, name, media_header = b"soun", b"audio\0", full_box(b"smhd", 0, 0, bytes(4))
        entry, volume = _audio_entry(track), 0x0100
        width = height = 0
    group = 0 if track.is_video else 1
    header = full_box(
        b"tkhd",
        0,
        3,  # enabled, in the movie
        pack(">5I8x4H", 0, 0, track_id, 0, 0, 0, group, volume, 0),
        UNITY_MATRIX,
        pack(">2I", width << 16, height << 16),
    )
    tables = box(
        b"stbl",
        full_box(b"stsd", 0, 0, pack(">I", 1), entry),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    here = full_box(b"dref", 0, 0, pack(">I", 1), full_box(b"url ", 0, 1))
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, pack(">4I2H", 0, 0, track.timescale_hz, 0, _UNDETERMINED, 0)),
        full_box(b"hdlr", 0, 0, pack(">4x4s12x", handler), name),
        box(b"minf", media_header, box(b"dinf", here), tables),
    )
    return box(b"trak", header, media)


def _display_size(track: VideoTrack) -> tuple[int, int]:
    across, down = track.pixel_aspect
    return (track.width * across + down // 2) // down, track.height


def _visual_entry(track: VideoTrack) -> bytes:
    entry, configuration = _SAMPLE_ENTRY[track.codec]
    head = pack(">6xH16x2H2I4xH32xHh", 1, track.width, track.height, 0x480000, 0x480000, 1, 0x18, -1)
    children = [box(configuration, track.config)]
    if track.pixel_aspect != (1, 1):
        children.append(box(b"pasp", pack(">2I", *track.pixel_aspect)))
    return box(entry, head, *children)


def _audio_entry(track: AudioTrack) -> bytes:
    opus = track.codec is Codec.OPUS
    rate = 48_000 if opus else track.sample_rate_hz
    fixed_rate = rate << 16 if rate < 1 << 16 else 0
    head = pack(">6xH8x2H4xI", 1, track.channel_count, 16, fixed_rate)
    if opus:
        return box(b"Opus", head, box(b"dOps", track.config))
    return box(b"mp4a", head, _esds(track))


def _esds(track: AudioTrack) -> bytes:
    decoder = descriptor(
        0x04,
        bytes((0x40, 0x15)),  # MPEG-4 audio, an audio stream
        bytes(3),
        pack(">2I", 0, 0),  # bit rates: unknown
        descriptor(0x05, track.config),
    )
    return full_box(b"esds", 0, 0, descriptor(0x03, pack(">HB", AUDIO_TRACK_ID, 0), decoder, descriptor(0x06, b"\x02")))
