"""Silent audio frames, made from the syntax of the codec, and the track that stands in where an encoder sends no sound.

Why there is such a thing: a player that was promised pictures alone cannot be given sound later (hls.js 1.7.4 ends with
a fatal bufferAppendError when a track joins or leaves its SourceBuffer), and one that was promised sound stands still
when it stops. So pictures on air always have sound, and where there is none it is silence, 4 kb/s of it.

Source: ISO/IEC 14496-3 4.4.2 (raw_data_block), RFC 6716 4.3.1 (the silence flag of CELT).
"""

from __future__ import annotations

from streamd.media.aac import track_from_config
from streamd.media.tracks import AudioTrack, Codec

STAND_IN = track_from_config(bytes.fromhex("1190"))  # AAC-LC, 48 kHz, stereo: what most encoders send

# A single_channel_element or channel_pair_element with global gain 0, long windows and max_sfb 0 (so no sections, no
# scale factors, no spectrum), then ID_END.
_AAC_LC = {1: bytes.fromhex("00000007"), 2: bytes.fromhex("21000000001c")}
_AAC_FRAME_SAMPLES = 1_024
# TOC: CELT, full band, 20 ms, mono (every decoder makes stereo of it where it has to); the frame says "silence".
_OPUS = bytes.fromhex("f8fffe")


def silent_payload(track: AudioTrack) -> bytes | None:
    """One frame of silence for `track`; None where none is known (SBR, more than two channels)."""
    if track.codec is Codec.OPUS:
        return _OPUS if track.channel_count <= 2 else None
    if track.codec_string == "mp4a.40.2" and track.samples_per_frame == _AAC_FRAME_SAMPLES:
        return _AAC_LC.get(track.channel_count)
    return None


def stands_in_for(track: AudioTrack) -> bool:
    """Whether frames of `track` may be played under the configuration of `STAND_IN`.

    Configurations that differ in bytes only (FFmpeg says explicitly that there is no SBR) decode the same.
    """
    return (
        track.codec is Codec.AAC
        and track.codec_string == STAND_IN.codec_string
        and track.sample_rate_hz == STAND_IN.sample_rate_hz
        and track.channel_count == STAND_IN.channel_count
        and track.samples_per_frame == STAND_IN.samples_per_frame
    )
