"""Answers: one fixed shape, in the offer's own words."""

from __future__ import annotations

import re

from streamd.whip import sdp
from streamd.whip.answer import Seat, answer, restart_fragment
from streamd.whip.offer import read_offer
from tests.whip.offers import CHROMIUM, OBS, OBS_SIMULCAST

SEAT = Seat(
    ufrag="0123456789abcdef",
    password="0123456789abcdef0123456789abcdef",
    fingerprint="sha-256 AA:BB",
    addresses=[("203.0.113.7", 50_000), ("2001:db8::7", 50_000)],
)


def answered(body: bytes) -> str:
    return answer(read_offer(body), SEAT, session_number=7)


def test_obs_finds_its_own_format_parameters_in_the_answer() -> None:
    text = answered(OBS)
    for line in OBS.decode().split("\r\n"):
        if line.startswith(("a=rtpmap", "a=fmtp", "a=mid", "a=rtcp-fb:96")):
            assert f"{line}\r\n" in text
    assert "x-google" not in text


def test_the_answer_is_an_ice_lite_passive_receiver_with_all_addresses() -> None:
    described = sdp.parse(answered(CHROMIUM).encode())
    assert described.has("ice-lite")
    assert described.first("group") == "BUNDLE 0 1"
    for media in described.media:
        assert media.has("recvonly")
        assert media.has("rtcp-mux")
        assert media.has("end-of-candidates")
        assert (media.first("setup"), media.first("ice-ufrag"), media.port) == ("passive", SEAT.ufrag, 50_000)
        assert media.all("candidate") == [
            "1 1 udp 2130706431 203.0.113.7 50000 typ host",
            "2 1 udp 2130706175 2001:db8::7 50000 typ host",
        ]


def test_chromium_is_answered_with_transport_wide_feedback_and_repetitions() -> None:
    video = sdp.parse(answered(CHROMIUM).encode()).media[1]
    assert video.formats == ("102", "103")
    assert video.all("rtcp-fb") == ["102 nack", "102 nack pli", "102 transport-cc"]
    assert "103 apt=102" in video.all("fmtp")
    assert "x-google-start-bitrate=1500" in video.all("fmtp")[0]


def test_obs_without_transport_wide_feedback_gets_remb() -> None:
    video = sdp.parse(answered(OBS).encode()).media[1]
    assert video.all("rtcp-fb") == ["96 nack", "96 nack pli", "96 goog-remb"]


def test_every_simulcast_layer_is_taken_or_obs_would_give_up() -> None:
    video = sdp.parse(answered(OBS_SIMULCAST).encode()).media[1]
    assert video.all("rid") == ["0 recv", "1 recv", "2 recv"]
    assert video.all("simulcast") == ["recv 0;1;2"]


def test_only_numbers_of_the_offer_are_used() -> None:
    offered = set(re.findall(r"a=extmap:\d+ \S+", CHROMIUM.decode()))
    assert set(re.findall(r"a=extmap:\d+ \S+", answered(CHROMIUM))) <= offered


def test_a_restart_is_answered_with_credentials_and_addresses_alone() -> None:
    fragment = sdp.parse_fragment(restart_fragment(read_offer(OBS), SEAT).encode())
    assert (fragment.first("ice-ufrag"), fragment.first("ice-pwd")) == (SEAT.ufrag, SEAT.password)
    assert len(fragment.media) == 1
    assert len(fragment.media[0].all("candidate")) == 2
    assert not fragment.media[0].has("fingerprint")
