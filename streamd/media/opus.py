"""Opus: an identification header to a track, a packet to its duration.

In: OpusHead as Ogg, Enhanced RTMP and ffmpeg's extradata have it (little-endian); packets. Out: `AudioTrack` whose
`config` is the body of `dOps` (big-endian); samples at 48 kHz. All failures are BitstreamError.
Source: RFC 7845 5.1, RFC 6716 3.1 (the TOC byte), "Encapsulation of Opus in ISO Base Media File Format" 4.3.2.
"""

from __future__ import annotations

from struct import Struct, error

from streamd.media.bits import BitstreamError
from streamd.media.tracks import AudioTrack, Codec

RATE_HZ = 48_000
_MAGIC = b"OpusHead"
_HEAD = Struct("<BBHIhB")  # version, channels, pre-skip, input rate, output gain, mapping family
_BOX = Struct(">BBHIhB")
_USUAL_SAMPLES = 960  # 20 ms: what every encoder sends unless told otherwise
_LONGEST_SAMPLES = 5_760  # 120 ms
# RFC 6716 table 2: samples in one Opus frame, by the five configuration bits of the TOC.
_FRAME_SAMPLES = (*(480, 960, 1920, 2880) * 3, *(480, 960) * 2, *(120, 240, 480, 960) * 4)


def track_from_head(opus_head: bytes, *, track_id: int = 0) -> AudioTrack:
    """The track that an OpusHead describes. Raises BitstreamError."""
    if not opus_head.startswith(_MAGIC):
        raise BitstreamError("not an OpusHead")
    try:
        version, channels, pre_skip, input_hz, gain, family = _HEAD.unpack_from(opus_head, len(_MAGIC))
    except error:
        raise BitstreamError("an OpusHead cut short") from None
    if version > 15 or not channels or (family == 0 and channels > 2):
        raise BitstreamError("an OpusHead of a version or channel layout that does not exist")
    mapping = b""
    if family:
        mapping = opus_head[19 : 21 + channels]  # stream count, coupled count, a place for each channel
        if len(mapping) != 2 + channels:
            raise BitstreamError("an OpusHead without its channel mapping")
    return AudioTrack(
        codec=Codec.OPUS,
        config=_BOX.pack(0, channels, pre_skip, input_hz, gain, family) + mapping,
        codec_string="opus",
        sample_rate_hz=RATE_HZ,
        channel_count=channels,
        samples_per_frame=_USUAL_SAMPLES,
        track_id=track_id,
    )


def head_of(track: AudioTrack) -> bytes:
    """The OpusHead of a track: its dOps with the other byte order."""
    _, channels, pre_skip, input_hz, gain, family = _BOX.unpack_from(track.config)
    return _MAGIC + _HEAD.pack(1, channels, pre_skip, input_hz, gain, family) + track.config[_BOX.size :]


def packet_samples(packet: bytes) -> int:
    """How many samples at 48 kHz a packet decodes to; 0 for one that no decoder would take (empty, over 120 ms)."""
    if not packet:
        return 0
    toc = packet[0]
    code = toc & 3
    if code == 0:
        return _FRAME_SAMPLES[toc >> 3]
    count = 2
    if code == 3:
        count = packet[1] & 63 if len(packet) > 1 else 0
    samples = count * _FRAME_SAMPLES[toc >> 3]
    return samples if samples <= _LONGEST_SAMPLES else 0
