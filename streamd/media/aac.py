"""AAC: an AudioSpecificConfig to a track.

In: the AudioSpecificConfig of a sequence header. Out: `AudioTrack` with the output rate and channels that a decoder
gives, SBR and PS counted in where they are signalled. All failures are BitstreamError. Not here: ADTS, LATM, FLV.
Source: ISO/IEC 14496-3 1.6.2.1, 1.6.5 (SBR and PS signalling), 4.4.1 (GASpecificConfig, program_config_element).
"""

from __future__ import annotations

from streamd.media.bits import BitReader, BitstreamError
from streamd.media.tracks import AudioTrack, Codec

RATES_HZ = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}
_LD, _SBR, _PS = 23, 5, 29
# Main, LC, SSR, LTP and their error resilient kin: what GASpecificConfig describes. xHE-AAC and ELD are not on air.
_GENERAL = frozenset({1, 2, 3, 4, 17, 19, 23})
_ERROR_RESILIENT = frozenset({17, 19, 23})
_SYNC_EXTENSION, _PS_EXTENSION = 0x2B7, 0x548
# The longest real one, a program_config_element with a full comment, stays under 400 bytes.
_LONGEST_BYTES = 512
_LOWEST_HZ, _HIGHEST_HZ = 4_000, 192_000


def track_from_config(asc: bytes, *, track_id: int = 0) -> AudioTrack:
    """The track that an AudioSpecificConfig describes. `config` is `asc` as it came.

    SBR that is not signalled cannot be seen here: such a track is told as plain AAC at the core rate, which every
    player accepts. Raises BitstreamError.
    """
    if len(asc) > _LONGEST_BYTES:
        raise BitstreamError(f"an AudioSpecificConfig of {len(asc)} bytes")
    bits = BitReader(asc)
    kind = _object_type(bits)
    core_hz = rate_hz = _rate(bits)
    layout = bits.u(4)
    has_sbr, has_ps = kind in (_SBR, _PS), kind == _PS
    if has_sbr:
        rate_hz = _rate(bits)
        kind = _object_type(bits)
    if kind not in _GENERAL:
        raise BitstreamError(f"MPEG-4 audio object type {kind} is not one that streamd puts on air")
    frame_samples, channels = _general_config(bits, kind, layout)
    if not has_sbr:
        found = _sync_extension(bits)
        if found is not None:
            has_sbr, has_ps = True, found[1]
            rate_hz = found[0]
    if rate_hz not in (core_hz, 2 * core_hz):
        raise BitstreamError(f"SBR that makes {rate_hz} Hz of {core_hz} Hz")
    return AudioTrack(
        codec=Codec.AAC,
        config=asc,
        codec_string=f"mp4a.40.{_PS if has_ps else _SBR if has_sbr else kind}",
        sample_rate_hz=rate_hz,
        channel_count=2 if has_ps and channels == 1 else channels,
        samples_per_frame=frame_samples * rate_hz // core_hz,
        track_id=track_id,
    )


def _object_type(bits: BitReader) -> int:
    kind = bits.u(5)
    return 32 + bits.u(6) if kind == 31 else kind


def _rate(bits: BitReader) -> int:
    index = bits.u(4)
    if index == 15:
        rate_hz = bits.u(24)
        if not _LOWEST_HZ <= rate_hz <= _HIGHEST_HZ:
            raise BitstreamError(f"a sample rate of {rate_hz} Hz")
        return rate_hz
    if index >= len(RATES_HZ):
        raise BitstreamError(f"sample rate index {index} is reserved")
    return RATES_HZ[index]


def _general_config(bits: BitReader, kind: int, layout: int) -> tuple[int, int]:
    """GASpecificConfig: samples in a frame at the core rate, and channels."""
    full, short = (512, 480) if kind == _LD else (1024, 960)
    frame_samples = short if bits.flag() else full
    if bits.flag():
        bits.skip(14)  # coreCoderDelay
    is_extended = bits.flag()
    channels = _program_channels(bits) if layout == 0 else _CHANNELS.get(layout, 0)
    if not channels:
        raise BitstreamError(f"channel configuration {layout}")
    if is_extended and kind in _ERROR_RESILIENT:
        bits.skip(4)  # three resilience flags, extensionFlag3
    if kind in _ERROR_RESILIENT:
        bits.skip(min(2, bits.left))  # epConfig
    return frame_samples, channels


def _program_channels(bits: BitReader) -> int:
    """program_config_element: what a decoder puts out when no standard layout fits."""
    bits.skip(10)  # element_instance_tag, object_type, sampling_frequency_index
    groups = [bits.u(4) for _ in ("front", "side", "back")]
    low_frequency = bits.u(2)
    bits.skip(7)  # associated data and coupling elements: listed below, after what we count
    for width in (4, 4, 3):
        if bits.flag():
            bits.skip(width)  # mono, stereo and matrix mixdown
    channels = low_frequency
    for count in groups:
        for _ in range(count):
            channels += 2 if bits.flag() else 1
            bits.skip(4)
    return channels


def _sync_extension(bits: BitReader) -> tuple[int, bool] | None:
    """SBR told in a way that old decoders do not see (1.6.6.1): its output rate, and whether there is PS too.

    The extension follows the configuration directly, but a program_config_element may leave a comment before it:
    it is looked for bit by bit, as decoders do.
    """
    while bits.left >= 16:
        if bits.peek(11) == _SYNC_EXTENSION:
            bits.skip(11)
            return _extension(bits)
        bits.skip(1)
    return None


def _extension(bits: BitReader) -> tuple[int, bool] | None:
    try:
        if bits.u(5) != _SBR or not bits.flag():
            return None
        rate_hz = _rate(bits)
        has_ps = bits.left >= 12 and bits.u(11) == _PS_EXTENSION and bits.flag()
    except BitstreamError:  # cut short, or the pattern by chance: plain AAC
        return None
    return rate_hz, has_ps
