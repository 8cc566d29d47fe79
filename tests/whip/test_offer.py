"""Offers: what is taken, what is refused and in which words, and that nothing else can happen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media.tracks import Codec
from streamd.whip import sdp
from streamd.whip.offer import TRANSPORT_CC, RefusedError, read_offer
from streamd.whip.sdp import MalformedError
from tests.whip.offers import CHROMIUM, OBS, OBS_SIMULCAST, changed, section, without


def test_chromium_gets_the_first_h264_with_packetization_mode_1() -> None:
    offer = read_offer(CHROMIUM)
    audio, video = offer.tracks
    assert (audio.kind, audio.mid, audio.codec, audio.format.payload_type) == ("audio", "0", Codec.OPUS, 111)
    assert (video.kind, video.mid, video.codec, video.format.payload_type) == ("video", "1", Codec.H264, 102)
    assert video.repeat is not None
    assert video.repeat.payload_type == 103
    assert video.extensions[TRANSPORT_CC] == 3
    assert "nack pli" in video.format.feedback
    assert (offer.ufrag, offer.is_bundled, offer.mixed_extensions) == ("LG/M", True, True)
    assert offer.fingerprints[0][0] == "sha-256"


def test_obs_without_candidates_is_read_whole() -> None:
    offer = read_offer(OBS)
    audio, video = offer.tracks
    assert audio.format.fmtp == "minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1"
    assert video.format.fmtp == "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1"
    assert (video.layers, video.repeat, offer.ufrag) == ((), None, "JbYq")


def test_simulcast_layers_are_named_in_the_order_of_the_offer() -> None:
    assert read_offer(OBS_SIMULCAST).tracks[1].layers == ("0", "1", "2")


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_one_kind_alone_is_enough(kind: str) -> None:
    alone = changed(section(OBS, kind), ("BUNDLE 0 1", f"BUNDLE {'0' if kind == 'audio' else '1'}"))
    assert [track.kind for track in read_offer(alone).tracks] == [kind]


@pytest.mark.parametrize(("name", "codec"), [("H265", Codec.HEVC), ("AV1", Codec.AV1), ("h264", Codec.H264)])
def test_hevc_and_av1_are_taken_where_they_are_offered(name: str, codec: Codec) -> None:
    assert read_offer(changed(OBS, ("rtpmap:96 H264", f"rtpmap:96 {name}"))).tracks[1].codec is codec


def test_the_peers_own_order_of_codecs_counts() -> None:
    first = changed(CHROMIUM, ("SAVPF 96 97 102", "SAVPF 45 46 96 97 102"))
    assert read_offer(first).tracks[1].codec is Codec.AV1


def test_packetization_mode_0_is_taken_when_there_is_no_other() -> None:
    offer = read_offer(changed(OBS, ("packetization-mode=1", "packetization-mode=0")))
    assert offer.tracks[1].codec is Codec.H264


@pytest.mark.parametrize("name", ["VP8", "VP9"])
def test_vp8_and_vp9_alone_are_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read_offer(changed(OBS, ("rtpmap:96 H264", f"rtpmap:96 {name}")))
    assert caught.value.code == "no_common_video_codec"
    assert name in caught.value.why
    assert "H264" in caught.value.fix


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("opus/48000/2", "PCMU/8000", "no audio codec in common"),
        ("a=sendonly", "a=recvonly", "sends nothing"),
        ("a=sendonly", "a=inactive", "sends nothing"),
        ("a=setup:actpass", "a=setup:passive", "waits for our DTLS handshake"),
        ("a=rtcp-mux", "a=x", "share one port"),
        ("m=video", "m=application", "'application' is not taken"),
        ("m=audio 9", "m=audio 0", "disabled"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "is not taken"),
        ("group:BUNDLE 0 1", "group:LS 0 1", "share one transport"),
        ("m=audio", "m=video", "codec in common"),
    ],
)
def test_what_cannot_be_taken_is_refused_whole(before: str, after: str, what: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read_offer(changed(OBS, (before, after)))
    assert what in caught.value.what


def test_a_second_video_track_is_refused() -> None:
    head, _, video = OBS.split(b"\r\nm=")
    other = video.replace(b"a=mid:1", b"a=mid:2").replace(b" 96", b" 97").replace(b":96", b":97")
    offer = b"\r\nm=".join([head.replace(b"BUNDLE 0 1", b"BUNDLE 1 2"), video, other])
    with pytest.raises(RefusedError, match="more than one video"):
        read_offer(offer)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("v=0\r\n", "v=1\r\n"),
        ("a=ice-ufrag:JbYq", "a=ice-ufrag:J"),
        ("a=ice-pwd:r1Pq8sTn0vLbXe5WcKdM2A", "a=ice-pwd:short"),
        ("sha-256 5C:1B", "sha-256 ZZ:1B"),
        ("fingerprint:sha-256", "fingerprint:md5"),
        ("a=mid:0", "a=mid:1"),
        ("a=mid:0", "a=mid:"),
        ("m=audio 9 ", "m=audio 99999 "),
        ("m=audio 9 ", "m=audio x "),
        ("s=-", "nonsense"),
        (" 96", " 111"),
    ],
)
def test_what_no_client_would_say_is_malformed(before: str, after: str) -> None:
    offer = changed(OBS, (before, after))
    if after == " 111":
        offer = offer.replace(b":96", b":111")
    with pytest.raises((MalformedError, RefusedError)) as caught:
        read_offer(offer)
    assert isinstance(caught.value, MalformedError)


def test_an_offer_without_fingerprint_or_media_is_refused() -> None:
    with pytest.raises(MalformedError, match="fingerprint"):
        read_offer(without(OBS, "a=fingerprint"))
    with pytest.raises(RefusedError, match="no media"):
        read_offer(OBS.split(b"\r\nm=")[0])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"v=0\r\n" + b"a=x\r\n" * 3_000,
        b"v=0\r\na=" + b"x" * 5_000,
        b"v=0\r\n" + b"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 20,
        b"\xff\xfe",
        b"v=0\r\na=\0",
        b"v=0\r\nmm",
    ],
)
def test_bodies_that_are_no_description_are_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        sdp.parse(body)


def test_line_ends_do_not_matter() -> None:
    assert read_offer(OBS.replace(b"\r\n", b"\n")) == read_offer(OBS)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mutilated_offer_is_read_or_refused(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from([CHROMIUM, OBS, OBS_SIMULCAST])).split(b"\r\n")
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                del lines[at]
                lines = lines or [b""]
            case 1:
                lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))])
            case 2:
                cut = data.draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + data.draw(st.binary(max_size=12)) + lines[at][cut + 1 :]
            case _:
                lines[at] = re.sub(rb"\d+", str(data.draw(st.integers(-5, 1 << 70))).encode(), lines[at], count=1)
    try:
        offer = read_offer(b"\r\n".join(lines))
    except (MalformedError, RefusedError):
        return
    assert 1 <= len(offer.tracks) <= 2


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for one in (body, b"v=0\r\n" + body):
        try:
            read_offer(one)
        except (MalformedError, RefusedError):
            continue
