from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import pytest

from hls_packager.silence import STAND_IN, silent_payload, stands_in_for
from streamd.media import aac
from streamd.media.opus import head_of
from streamd.media.tracks import AudioTrack
from tests.support.hls_media import AUDIO, AUDIO_44100, OPUS


def decoded(track: AudioTrack, payload: bytes, count: int = 20) -> list[av.AudioFrame]:
    decoder = av.CodecContext.create("aac" if track.codec == "aac" else "libopus", "r")
    decoder.extradata = track.config if track.codec == "aac" else head_of(track)
    frames = []
    for index in range(count):
        packet = av.Packet(payload)
        packet.pts, packet.time_base = index * track.samples_per_frame, Fraction(1, track.sample_rate_hz)
        frames += decoder.decode(packet)
    return frames


@pytest.mark.parametrize("asc", ["1190", "1188", "1210", "1208", "1408"])
def test_a_silent_aac_frame_decodes_to_silence(asc: str) -> None:
    track = aac.track_from_config(bytes.fromhex(asc))
    payload = silent_payload(track)
    assert payload is not None
    frames = decoded(track, payload)
    assert len(frames) >= 19
    for frame in frames:
        assert (frame.samples, len(frame.layout.channels)) == (1_024, track.channel_count)
        assert not any(any(bytes(plane)) for plane in frame.planes)


def test_a_silent_opus_packet_decodes_to_silence() -> None:
    payload = silent_payload(OPUS)
    assert payload is not None
    frames = decoded(OPUS, payload)
    assert {frame.samples for frame in frames[1:]} == {960}
    assert not any(any(bytes(plane)) for frame in frames for plane in frame.planes)


@pytest.mark.parametrize(
    "track",
    [
        aac.track_from_config(bytes.fromhex("11b0")),  # 5.1
        aac.track_from_config(bytes.fromhex("2b118800")),  # explicit SBR
        replace(OPUS, channel_count=6),
    ],
)
def test_configurations_without_known_silence_are_said_so(track: AudioTrack) -> None:
    assert silent_payload(track) is None


def test_the_stand_in_stands_for_configurations_that_decode_the_same() -> None:
    assert stands_in_for(STAND_IN)
    assert stands_in_for(aac.track_from_config(bytes.fromhex("119056e500")))  # FFmpeg's way to say "no SBR"
    assert stands_in_for(AUDIO)
    assert not stands_in_for(AUDIO_44100)
    assert not stands_in_for(aac.track_from_config(bytes.fromhex("1188")))
    assert not stands_in_for(OPUS)
