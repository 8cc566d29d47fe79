"""One part as bytes: `moof` + `mdat` with the samples of every track. The hot end of the packager.

In: the frames of a part. Out: one `bytes`, laid down by a single `pack` of all numbers and a single join with the
payloads: no box is ever an object. 15 pictures and 24 sounds, 120 kB: 14 µs.

Layout: tfhd with default-base-is-moof and default flags, tfdt version 1 (64 bits), trun version 1 (signed composition
offsets). Sound that is contiguous, as it nearly always is, costs four bytes a frame. Source: ISO 14496-12 8.8.
Not here: which frames belong together (cutter).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from struct import Struct

from hls_packager.init_segment import AUDIO_TRACK_ID, VIDEO_TRACK_ID
from hls_packager.model import PartClosed
from streamd.media.tracks import AudioTrack

_SYNC = 0x02000000  # depends on no other
_NOT_SYNC = 0x01010000  # depends on others, is no sync sample
_VERSION_1 = 1 << 24

# (flags, format of one sample)
_PICTURES = (_VERSION_1 | 0xB05, "IIi")  # data offset, flags of the first; duration, size, composition offset
_FLAGGED = (_VERSION_1 | 0xF01, "IIIi")  # data offset; duration, size, flags, composition offset
_EVEN = (0x201, "I")  # data offset; size
_UNEVEN = (0x301, "II")  # data offset; duration, size

_TRAF = "I4s"
_TFHD_VIDEO = "I4s3I"  # flags, track, default flags
_TFHD_AUDIO = "I4s4I"  # flags, track, default duration, default flags
_TFDT = "I4sIQ"
_TRUN = "I4s3I"  # flags, sample count, data offset


@lru_cache(maxsize=512)
def _layout(pictures: int, flagged: bool, sounds: int, uneven: bool) -> tuple[Struct, int, int]:
    """The head of a part from `moof` to the header of `mdat`, the size of its video `traf`, and of its audio `traf`."""
    video, audio = "", ""
    if pictures:
        first_flags = "" if flagged else "I"
        sample = (_FLAGGED if flagged else _PICTURES)[1]
        video = _TRAF + _TFHD_VIDEO + _TFDT + _TRUN + first_flags + sample * pictures
    if sounds:
        audio = _TRAF + _TFHD_AUDIO + _TFDT + _TRUN + (_UNEVEN if uneven else _EVEN)[1] * sounds
    layout = Struct(f">I4sI4sII{video}{audio}I4s")
    return layout, Struct(f">{video}").size, Struct(f">{audio}").size


def fragment(sequence: int, part: PartClosed) -> bytes:
    """The bytes of a part; `sequence` grows by one from part to part (it wraps at 32 bits)."""
    pictures, sounds = part.video, part.audio
    flagged, uneven = part.inner_keys, False
    step = 0
    if sounds:
        track = sounds[0].track
        assert isinstance(track, AudioTrack)
        step = track.samples_per_frame
        uneven = sounds[-1].dts - sounds[0].dts != (len(sounds) - 1) * step
    layout, video_size, audio_size = _layout(len(pictures), flagged, len(sounds), uneven)
    moof_size = 24 + video_size + audio_size
    chunks = [b""]
    numbers: list[int | bytes] = [moof_size, b"moof", 16, b"mfhd", 0, sequence & 0xFFFFFFFF]
    offset = moof_size + 8
    if pictures:
        numbers += _video_traf(part, video_size, offset)
        chunks += [picture[4] for picture in pictures]
        offset += sum(map(len, chunks))
    if sounds:
        numbers += (audio_size, b"traf", 24, b"tfhd", 0x020028, AUDIO_TRACK_ID, step, _SYNC)
        numbers += (20, b"tfdt", _VERSION_1, sounds[0].dts)
        flags = (_UNEVEN if uneven else _EVEN)[0]
        numbers += (audio_size - 52, b"trun", flags, len(sounds), offset)
        payloads = [sound[4] for sound in sounds]
        if uneven:
            starts = [*(sound[1] for sound in sounds), sounds[-1][1] + step]
            numbers += [
                n for (a, b), payload in zip(pairwise(starts), payloads, strict=True) for n in (b - a, len(payload))
            ]
        else:
            numbers += map(len, payloads)
        chunks += payloads
    size = 8 + sum(map(len, chunks))
    chunks[0] = layout.pack(*numbers, size, b"mdat")
    return b"".join(chunks)


def _video_traf(part: PartClosed, size: int, offset: int) -> list[int | bytes]:
    pictures = part.video
    first_flags = _SYNC if pictures[0].is_sync else _NOT_SYNC
    starts = [picture[1] for picture in pictures]
    starts.append(part.video_end)
    numbers: list[int | bytes] = [size, b"traf", 20, b"tfhd", 0x020020, VIDEO_TRACK_ID, _NOT_SYNC]
    numbers += (20, b"tfdt", _VERSION_1, starts[0])
    if part.inner_keys:
        numbers += (size - 48, b"trun", _FLAGGED[0], len(pictures), offset)
        numbers += [
            number
            for (_, dts, cts, is_sync, payload), end in zip(pictures, starts[1:], strict=True)
            for number in (end - dts, len(payload), _SYNC if is_sync else _NOT_SYNC, cts)
        ]
    else:
        numbers += (size - 48, b"trun", _PICTURES[0], len(pictures), offset, first_flags)
        numbers += [
            number
            for (_, dts, cts, _, payload), end in zip(pictures, starts[1:], strict=True)
            for number in (end - dts, len(payload), cts)
        ]
    return numbers
