"""FLV, written: what HTTP-FLV, WebSocket-FLV and RTMP play put around frames.

In: tracks and frames. Out: bytes. A *body* is what an RTMP message of type 8, 9 or 18 carries; a *tag* is a body with
the header and trailer of the file format. H.264 and AAC are written in their legacy form, which every player reads;
HEVC, AV1 and Opus only exist in the Enhanced form. Timestamps are the caller's, composition offsets the frame's.
Not here: which track goes out, when, and from which origin timestamps count; reading FLV.
Source: Video File Format Specification 10.1 annex E; Enhanced RTMP v2 (veovera 2026-01-31); AMF0 specification 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from streamd.media import opus
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, Codec, Track, VideoTrack

AUDIO_TAG, VIDEO_TAG, SCRIPT_TAG = 8, 9, 18

_KEY, _INTER = 0x10, 0x20  # frame type in the high nibble of the first byte
_EX_HEADER = 0x80
_SEQUENCE_START, _CODED_FRAMES, _CODED_FRAMES_X = 0, 1, 3  # packet types of the Enhanced form
_EX_AUDIO = 0x90
_FOURCC = {
    Codec.H264: 0x61766331,  # avc1
    Codec.HEVC: 0x68766331,  # hvc1
    Codec.AV1: 0x61763031,  # av01
    Codec.AAC: 0x6D703461,  # mp4a
    Codec.OPUS: 0x4F707573,  # Opus
}
# What onMetaData calls the codecs: the numbers of the legacy form, else the FourCC as a number.
_METADATA_CODEC = {**_FOURCC, Codec.H264: 7, Codec.AAC: 10}

# Each packs from the tag's first byte to the payload's. Words: type and body size; low 24 bits of the timestamp and its
# extension; stream id 0 and the first byte of the body.
_TAG_LEGACY_VIDEO = Struct(">IIII")  # ... packet type and 24-bit composition offset
_TAG_LEGACY_AUDIO = Struct(">IIIB")
_TAG_EX = Struct(">IIII")  # ... FourCC
_TAG_EX_OFFSET = Struct(">IIIIHB")
_TAG_HEADER = Struct(">IIHB")
_U32 = Struct(">I").pack
_U16 = Struct(">H").pack
_F64 = Struct(">d").pack
_LEGACY_VIDEO = Struct(">BI").pack
_EX = Struct(">BI").pack
_EX_OFFSET = Struct(">BIHB").pack


def file_header(has_audio: bool, has_video: bool) -> bytes:
    """The 9 bytes of a file's header and 4 of PreviousTagSize0. The flags must be true: players wait for a track."""
    flags = (4 if has_audio else 0) | (1 if has_video else 0)
    return b"FLV\x01" + bytes((flags,)) + b"\x00\x00\x00\x09\x00\x00\x00\x00"


def tag_type(track: Track) -> int:
    """The type of a track's tags, and of its RTMP messages."""
    return VIDEO_TAG if track.is_video else AUDIO_TAG


def tag(kind: int, timestamp_ms: int, body: bytes) -> bytes:
    """A whole tag. `timestamp_ms` is taken modulo 2**32, as the format wraps."""
    size = len(body)
    header = _TAG_HEADER.pack(kind << 24 | size, _split(timestamp_ms), 0, 0)
    return b"".join((header, body, _U32(size + 11)))


def _split(timestamp_ms: int) -> int:
    """The timestamp as tags store it: 24 low bits, then the 8 high ones."""
    return (timestamp_ms & 0xFFFFFF) << 8 | timestamp_ms >> 24 & 0xFF


def sequence_header_body(track: Track) -> bytes:
    """The configuration of a track, to be sent before its first frame and again whenever it changes."""
    if track.codec is Codec.H264:
        return b"\x17\x00\x00\x00\x00" + track.config
    if track.codec is Codec.AAC:
        return b"\xaf\x00" + track.config
    if isinstance(track, AudioTrack):
        return _EX(_EX_AUDIO | _SEQUENCE_START, _FOURCC[track.codec]) + opus.head_of(track)
    return _EX(_EX_HEADER | _KEY | _SEQUENCE_START, _FOURCC[track.codec]) + track.config


def dts_ms(frame: EncodedFrame) -> int:
    """Decode time in milliseconds of the frame's own timeline, rounded half up."""
    hz = frame.track.timescale_hz
    return (frame.dts * 2_000 + hz) // (2 * hz)


def cts_ms(frame: EncodedFrame) -> int:
    """Composition offset in milliseconds, so that rounded decode time plus offset is rounded presentation time."""
    if not frame.cts:
        return 0
    hz = frame.track.timescale_hz
    return ((frame.dts + frame.cts) * 2_000 + hz) // (2 * hz) - (frame.dts * 2_000 + hz) // (2 * hz)


def frame_prefix(frame: EncodedFrame) -> bytes:
    """What stands before the payload in a frame's body: two to eight bytes."""
    track = frame.track
    codec = track.codec
    if codec is Codec.AAC:
        return b"\xaf\x01"
    if codec is Codec.OPUS:
        return _EX(_EX_AUDIO | _CODED_FRAMES, _FOURCC[codec])
    kind = _KEY if frame.is_sync else _INTER
    if codec is Codec.H264:
        return _LEGACY_VIDEO(kind | 7, 1 << 24 | cts_ms(frame) & 0xFFFFFF)
    offset = cts_ms(frame) if codec is Codec.HEVC else 0
    if offset:
        return _EX_OFFSET(_EX_HEADER | kind | _CODED_FRAMES, _FOURCC[codec], offset >> 8 & 0xFFFF, offset & 0xFF)
    return _EX(_EX_HEADER | kind | (_CODED_FRAMES_X if codec is Codec.HEVC else _CODED_FRAMES), _FOURCC[codec])


def frame_body(frame: EncodedFrame) -> bytes:
    """A frame as the body of a tag or of an RTMP message."""
    return frame_prefix(frame) + frame.payload


def frame_tag(frame: EncodedFrame, timestamp_ms: int) -> bytes:
    """A frame as a whole tag: `tag(tag_type(track), timestamp_ms, frame_body(frame))` with one copy of the payload.

    Written out for each codec: done once for every frame of a stream that anybody watches.
    """
    track = frame.track
    codec = track.codec
    payload = frame.payload
    time = (timestamp_ms & 0xFFFFFF) << 8 | timestamp_ms >> 24 & 0xFF
    if codec is Codec.H264:
        size = len(payload) + 5
        offset = cts_ms(frame) if frame.cts else 0
        first = 0x17 if frame.is_sync else 0x27
        header = _TAG_LEGACY_VIDEO.pack(VIDEO_TAG << 24 | size, time, first, 1 << 24 | offset & 0xFFFFFF)
        return b"".join((header, payload, _U32(size + 11)))
    if codec is Codec.AAC:
        size = len(payload) + 2
        return b"".join((_TAG_LEGACY_AUDIO.pack(AUDIO_TAG << 24 | size, time, 0xAF, 1), payload, _U32(size + 11)))
    if codec is Codec.OPUS:
        size = len(payload) + 5
        header = _TAG_EX.pack(AUDIO_TAG << 24 | size, time, _EX_AUDIO | _CODED_FRAMES, _FOURCC[codec])
        return b"".join((header, payload, _U32(size + 11)))
    return _enhanced_video_tag(frame, time)


def _enhanced_video_tag(frame: EncodedFrame, time: int) -> bytes:
    codec = frame.track.codec
    kind = _EX_HEADER | (_KEY if frame.is_sync else _INTER)
    offset = cts_ms(frame) if frame.cts and codec is Codec.HEVC else 0
    if offset:
        size = len(frame.payload) + 8
        header = _TAG_EX_OFFSET.pack(
            VIDEO_TAG << 24 | size, time, kind | _CODED_FRAMES, _FOURCC[codec], offset >> 8 & 0xFFFF, offset & 0xFF
        )
    else:
        size = len(frame.payload) + 5
        packet = _CODED_FRAMES_X if codec is Codec.HEVC else _CODED_FRAMES
        header = _TAG_EX.pack(VIDEO_TAG << 24 | size, time, kind | packet, _FOURCC[codec])
    return b"".join((header, frame.payload, _U32(size + 11)))


def metadata_body(tracks: Iterable[Track]) -> bytes:
    """The onMetaData script that describes `tracks` (one of a kind): an AMF0 string and an ECMA array.

    `hasAudio` and `hasVideo` are always written: mpegts.js lets them decide which tracks it waits for.
    """
    video: VideoTrack | None = None
    audio: AudioTrack | None = None
    for track in tracks:
        if isinstance(track, VideoTrack):
            video = track
        else:
            audio = track
    values: list[tuple[str, float | bool | str]] = [("duration", 0.0)]
    if video is not None:
        values += [("width", float(video.width)), ("height", float(video.height))]
        if video.nominal_fps is not None:
            values.append(("framerate", video.nominal_fps))
        values.append(("videocodecid", float(_METADATA_CODEC[video.codec])))
    if audio is not None:
        values += [
            ("audiocodecid", float(_METADATA_CODEC[audio.codec])),
            ("audiosamplerate", float(audio.sample_rate_hz)),
            ("audiosamplesize", 16.0),
            ("audiochannels", float(audio.channel_count)),
            ("stereo", audio.channel_count == 2),
        ]
    values += [("hasVideo", video is not None), ("hasAudio", audio is not None), ("encoder", "streamd")]
    pairs = b"".join(_amf_key(name) + _amf_value(value) for name, value in values)
    return b"\x02" + _amf_key("onMetaData") + b"\x08" + _U32(len(values)) + pairs + b"\x00\x00\x09"


def _amf_key(text: str) -> bytes:
    raw = text.encode()
    return _U16(len(raw)) + raw


def _amf_value(value: float | bool | str) -> bytes:
    if isinstance(value, bool):
        return b"\x01\x01" if value else b"\x01\x00"
    if isinstance(value, str):
        return b"\x02" + _amf_key(value)
    return b"\x00" + _F64(value)
