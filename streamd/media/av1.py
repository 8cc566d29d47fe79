"""AV1: sequence headers to tracks, messages to temporal units.

In: av1C; the body of a video message, in low-overhead form. Out: `VideoTrack` whose `config` is an av1C in canonical
form (one sequence header OBU with its size, nothing else), and `AccessUnit` without temporal delimiters and padding,
every OBU with its size. All failures are BitstreamError. Not here: timestamps, FLV headers, RTP.
Source: AV1 bitstream and decoding process 5.3 to 5.9; AV1 codec ISO media file format binding 2.3, 2.4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamd.media.access_unit import AccessUnit, InBandParameterSetsError
from streamd.media.bits import BitReader, BitstreamError
from streamd.media.picture import VIDEO_RANGES, checked_size
from streamd.media.tracks import Codec, VideoTrack

SEQUENCE_HEADER, TEMPORAL_DELIMITER, FRAME_HEADER, FRAME, TILE_LIST, PADDING = 1, 2, 3, 6, 8, 15
_DROPPED = frozenset({TEMPORAL_DELIMITER, TILE_LIST, PADDING})
_OBUS_PER_UNIT = 2_048
_SIZE_BYTES = 8  # leb128 takes at most eight
_UNSPECIFIED = (2, 2, 2)  # colour primaries, transfer, matrix (6.4.2)
_BT709 = (1, 1, 1)
_SRGB = (1, 13, 0)  # with these three, planes are RGB and nothing more is coded

_new = tuple.__new__


@dataclass(frozen=True, slots=True, kw_only=True)
class _Colour:
    """color_config() of 5.5.2."""

    depth: int
    mono: bool
    subsampling_x: int
    subsampling_y: int
    position: int
    described: tuple[int, int, int]
    full_range: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sequence:
    """What one sequence header says."""

    profile: int
    level: int
    tier: int
    width: int
    height: int
    fps: float | None
    colour: _Colour


def temporal_unit(data: bytes, start: int) -> AccessUnit:
    """The temporal unit in `data[start:]`.

    `is_sync` means that its first frame is a shown key frame. `parameter_sets` holds the sequence header OBUs, which
    stay in the payload as well: a sync sample has them in band. Raises BitstreamError where sizes do not add up.
    """
    kept: list[bytes] = []
    headers: list[bytes] = []
    whole = True
    sync: bool | None = None
    at = start
    end = len(data)
    for _ in range(_OBUS_PER_UNIT):
        if at == end:
            break
        kind, body, after = _obu(data, at)
        if kind in _DROPPED:
            whole = False
        elif data[at] & 2:
            kept.append(data[at:after])
        else:
            whole = False
            kept.append(_with_size(data[at:body], data[body:after]))
        if kind == SEQUENCE_HEADER:
            headers.append(_sized(data[body:after]))
        elif sync is None and kind in (FRAME, FRAME_HEADER):
            sync = body < after and data[body] >> 4 == 1  # show_existing_frame 0, frame_type KEY, show_frame 1
        at = after
    else:
        raise BitstreamError(f"more than {_OBUS_PER_UNIT} OBUs in one temporal unit")
    sets = tuple(headers) or None
    if sync is None:
        return _new(AccessUnit, (b"", False, sets))
    return _new(AccessUnit, (data[start:] if whole else b"".join(kept), sync, sets))


def _obu(data: bytes, at: int) -> tuple[int, int, int]:
    """The type of the OBU at `at`, where its body begins and where it ends. The last one may leave its size out."""
    first = data[at]
    body = at + 1 + (first >> 2 & 1)
    after = len(data)
    if first & 2:
        size, body = _leb128(data, body)
        after = body + size
    if after > len(data) or body > len(data):
        raise BitstreamError("an OBU reaches beyond its temporal unit")
    return first >> 3 & 15, body, after


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A little-endian base-128 number (4.10.5) and where it ends."""
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    value = 0
    for place, byte in enumerate(data[at : at + _SIZE_BYTES]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise BitstreamError("an OBU size without end")


def _leb128_bytes(value: int) -> bytes:
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    coded.append(value)
    return bytes(coded)


def _with_size(header: bytes, body: bytes) -> bytes:
    """An OBU with a header of one or two bytes, given the size that it lacked."""
    return bytes((header[0] | 2,)) + header[1:] + _leb128_bytes(len(body)) + body


def _sized(sequence_header: bytes) -> bytes:
    """A sequence header OBU in its one canonical form."""
    return _with_size(bytes((SEQUENCE_HEADER << 3,)), sequence_header)


def track_from_av1c(av1c: bytes, *, track_id: int = 0) -> VideoTrack:
    """The track that an av1C describes.

    Raises InBandParameterSetsError for a record without sequence header (2.3.4 allows it): the first key frame has it,
    see `revise`. BitstreamError for anything else that is wrong.
    """
    if len(av1c) < 4 or av1c[0] != 0x81:
        raise BitstreamError("not an av1C of version 1")
    unit = temporal_unit(av1c, 4)
    if unit.parameter_sets is None:
        raise InBandParameterSetsError("an av1C without sequence header")
    return track_from_sequence_header(unit.parameter_sets[0], track_id=track_id)


def track_from_sequence_header(obu: bytes, *, track_id: int = 0) -> VideoTrack:
    """The track that a sequence header OBU in canonical form (as in `AccessUnit.parameter_sets`) describes."""
    size, body = _leb128(obu, 1)
    if not obu or obu[0] != SEQUENCE_HEADER << 3 | 2 or body + size != len(obu):
        raise BitstreamError("not a sequence header OBU")
    header = _sequence(BitReader(obu[body:]))
    colour = header.colour
    depth_bits = (colour.depth > 8) << 6 | (colour.depth == 12) << 5
    chroma_bits = colour.mono << 4 | colour.subsampling_x << 3 | colour.subsampling_y << 2 | colour.position
    return VideoTrack(
        codec=Codec.AV1,
        config=bytes(
            (0x81, header.profile << 5 | header.level, header.tier << 7 | depth_bits | chroma_bits, 0),
        )
        + obu,
        codec_string=_codec_string(header),
        width=header.width,
        height=header.height,
        track_id=track_id,
        video_range=VIDEO_RANGES.get(colour.described[1], "SDR"),
        nominal_fps=header.fps,
    )


def sequence_header(track: VideoTrack) -> bytes:
    """The sequence header OBU of a track: what a key frame without one in band must be given."""
    return track.config[4:]


def revise(track: VideoTrack | None, sets: Iterable[bytes], *, track_id: int = 0) -> VideoTrack:
    """The track after the in-band sequence headers `sets`: the same object when the last of them says nothing new.

    With None it builds the first track. Raises BitstreamError as `track_from_sequence_header` does.
    """
    latest = list(sets)[-1:]
    if not latest or (track is not None and latest[0] == sequence_header(track)):
        if track is None:
            raise InBandParameterSetsError("no sequence header")
        return track
    return track_from_sequence_header(latest[0], track_id=track_id if track is None else track.track_id)


def _codec_string(header: _Sequence) -> str:
    """ISOBMFF binding 5: the optional half only where it says something, as players compare the short form."""
    colour = header.colour
    short = f"av01.{header.profile}.{header.level:02d}{'MH'[header.tier]}.{colour.depth:02d}"
    shape = (colour.mono, colour.subsampling_x, colour.subsampling_y, colour.full_range)
    if colour.described in (_UNSPECIFIED, _BT709) and shape == (False, 1, 1, False):
        return short
    sampling = f"{colour.subsampling_x}{colour.subsampling_y}{colour.position}"
    described = ".".join(f"{code:02d}" for code in colour.described)
    return f"{short}.{colour.mono:d}.{sampling}.{described}.{colour.full_range:d}"


def _sequence(bits: BitReader) -> _Sequence:
    profile = bits.u(3)
    if profile > 2:
        raise BitstreamError(f"AV1 profile {profile}")
    bits.skip(1)  # still_picture
    reduced = bits.flag()
    level, tier, fps = (bits.u(5), 0, None) if reduced else _operating_points(bits)
    width_bits, height_bits = bits.u(4) + 1, bits.u(4) + 1
    width, height = checked_size(bits.u(width_bits) + 1, bits.u(height_bits) + 1)
    if not reduced and bits.flag():
        bits.skip(7)  # frame id lengths
    bits.skip(3)  # superblock size, filter_intra, intra_edge
    if not reduced:
        _skip_inter_tools(bits)
    bits.skip(3)  # superres, cdef, restoration
    return _Sequence(
        profile=profile, level=level, tier=tier, width=width, height=height, fps=fps, colour=_colour(bits, profile)
    )


def _operating_points(bits: BitReader) -> tuple[int, int, float | None]:
    """Level and tier of the first operating point, and the frame rate where timing_info() has one (5.5.1, 5.5.3)."""
    fps: float | None = None
    delay_bits = 0
    if bits.flag():
        units, scale = bits.u(32), bits.u(32)
        if bits.flag() and units and scale:
            rate = scale / (units * (bits.uvlc() + 1))
            fps = round(rate, 3) if 1 <= rate <= 480 else None
        if bits.flag():
            delay_bits = bits.u(5) + 1
            bits.skip(42)
    has_display_delay = bits.flag()
    levels: list[tuple[int, int]] = []
    for _ in range(bits.u(5) + 1):
        bits.skip(12)  # operating_point_idc
        level = bits.u(5)
        levels.append((level, bits.u(1) if level > 7 else 0))
        if delay_bits and bits.flag():
            bits.skip(2 * delay_bits + 1)
        if has_display_delay and bits.flag():
            bits.skip(4)
    return (*levels[0], fps)


def _skip_inter_tools(bits: BitReader) -> None:
    bits.skip(4)  # interintra, masked, warped, dual filter
    has_order = bits.flag()
    if has_order:
        bits.skip(2)  # jnt_comp, ref_frame_mvs
    screen_content = 2 if bits.flag() else bits.u(1)
    if screen_content and not bits.flag():
        bits.skip(1)  # seq_force_integer_mv
    if has_order:
        bits.skip(3)


def _colour(bits: BitReader, profile: int) -> _Colour:
    depth = 10 if bits.flag() else 8
    if profile == 2 and depth == 10 and bits.flag():
        depth = 12
    mono = profile != 1 and bits.flag()
    described = (bits.u(8), bits.u(8), bits.u(8)) if bits.flag() else _UNSPECIFIED
    x, y, position, full_range = 1, 1, 0, True
    if mono:
        full_range = bits.flag()
    elif described == _SRGB:
        x, y = 0, 0
    else:
        full_range = bits.flag()
        x, y = _subsampling(bits, profile, depth)
        position = bits.u(2) if x and y else 0
    return _Colour(
        depth=depth,
        mono=mono,
        subsampling_x=x,
        subsampling_y=y,
        position=position,
        described=described,
        full_range=full_range,
    )


def _subsampling(bits: BitReader, profile: int, depth: int) -> tuple[int, int]:
    if profile == 0:
        return 1, 1
    if profile == 1:
        return 0, 0
    if depth < 12:
        return 1, 0
    x = bits.u(1)
    return x, bits.u(1) if x else 0
