"""What a peer says at connect, and what is promised in return."""

from __future__ import annotations

import pytest

from rtmp_ingest import amf0, messages
from rtmp_ingest.connect import connect_result, parse_connect
from rtmp_ingest.messages import Command, parse_command
from streamd.errors import ProtocolError


def answer_to(properties: dict[str, amf0.Value]) -> dict[str, amf0.Value]:
    peer = parse_connect(Command("connect", 1, [{"app": "live", **properties}]), name_bytes=1024)
    command = parse_command(connect_result(1, peer))
    assert command.name == "_result"
    server, information = command.arguments
    assert isinstance(server, dict)
    assert isinstance(information, dict)
    assert (server["fmsVer"], server["capabilities"], server["mode"]) == ("FMS/3,5,7,7009", 31.0, 1.0)
    for word in ("fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"):
        assert server.get(word) == information.get(word), "clients look in either"
    assert information["code"] == "NetConnection.Connect.Success"
    assert information["objectEncoding"] == 0.0
    return information


def test_a_plain_client_is_told_nothing_of_enhanced_rtmp() -> None:
    assert set(answer_to({})) == {"level", "code", "description", "objectEncoding"}


def test_four_ccs_are_answered_in_the_words_of_the_client() -> None:
    assert answer_to({"fourCcList": ["hvc1", "vp09", "Opus"]})["fourCcList"] == ["hvc1", "Opus"]
    assert answer_to({"fourCcList": ["*"]})["fourCcList"] == ["avc1", "hvc1", "av01", "mp4a", "Opus"]
    maps = answer_to({"videoFourCcInfoMap": {"hvc1": 7, "vp09": 7}, "audioFourCcInfoMap": {"*": 1}})
    assert maps["videoFourCcInfoMap"] == {"hvc1": 4.0}
    assert maps["audioFourCcInfoMap"] == {"mp4a": 4.0, "Opus": 4.0}


@pytest.mark.parametrize(("offered", "shared"), [(15, 15), (31, 15), (2, 2), (0, 0)])
def test_capabilities_are_those_that_both_have(offered: int, shared: int) -> None:
    assert answer_to({"capsEx": offered})["capsEx"] == shared


@pytest.mark.parametrize("nonsense", [-1, 2**40, float("inf"), float("nan"), "15", None])
def test_capabilities_that_make_no_sense_are_passed_over(nonsense: amf0.Value) -> None:
    assert "capsEx" not in answer_to({"capsEx": nonsense, "fourCcList": "hvc1", "videoFourCcInfoMap": 3})


@pytest.mark.parametrize(
    "arguments", [[], [None], ["live"], [{}], [{"app": None}], [{"app": 5.0}], [{"app": "x" * 2000}]]
)
def test_a_connect_without_an_app_is_refused(arguments: list[amf0.Value]) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_connect(Command("connect", 1, arguments), name_bytes=1024)
    assert refused.value.code == "connect"


def test_the_encoders_name_is_kept_short() -> None:
    peer = parse_connect(Command("connect", 1, [{"app": "live", "flashVer": "x" * 500}]), name_bytes=1024)
    assert len(peer.encoder) == 128
    assert connect_result(1, peer).type_id == messages.COMMAND_AMF0
