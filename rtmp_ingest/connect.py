"""The connect command: what a peer says of itself, and what it is told about us.

Both sides of Enhanced RTMP are negotiated here: we answer in the words the client used, and only to those. A client
that sends none of them may still send Enhanced RTMP (OBS does). Source: RTMP 1.0 section 7.2.1.1; Veovera "Enhanced
RTMP (v2)", Enhancing NetConnection connect Command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from rtmp_ingest import amf0, errors, messages
from rtmp_ingest.messages import Command, Message
from streamd.errors import ProtocolError

CAPS_RECONNECT: Final = 1
_CAPS = CAPS_RECONNECT | 2 | 4 | 8  # Multitrack, ModEx, TimestampNanoOffset
_CAN_FORWARD = 4  # FourCcInfoMask: we neither decode nor encode
_VIDEO_FOURCCS = ("avc1", "hvc1", "av01")
_AUDIO_FOURCCS = ("mp4a", "Opus")
_ENCODER_CHARACTERS = 128


class ConnectingPeer(NamedTuple):
    """`enhancements` is our half of the negotiation, `capabilities` the bits (capsEx) that both sides have."""

    app: str
    encoder: str  # flashVer
    enhancements: Mapping[str, amf0.Value]
    capabilities: int


def parse_connect(command: Command, *, name_bytes: int) -> ConnectingPeer:
    """Raises ProtocolError for a connect that names no application."""
    properties = command.arguments[0] if command.arguments else None
    if not isinstance(properties, Mapping):
        raise ProtocolError("A connect without its object", code="connect")
    app, encoder = properties.get("app"), properties.get("flashVer")
    if not isinstance(app, str) or len(app) > name_bytes:
        raise ProtocolError("A connect without a usable app", code="connect")
    enhancements, capabilities = _negotiate(properties)
    return ConnectingPeer(
        app, encoder[:_ENCODER_CHARACTERS] if isinstance(encoder, str) else "", enhancements, capabilities
    )


def connect_result(transaction: float, peer: ConnectingPeer) -> Message:
    """The answer to connect. Clients look for our half of the negotiation in either object: it stands in both."""
    server: dict[str, amf0.Value] = {"fmsVer": "FMS/3,5,7,7009", "capabilities": 31, "mode": 1, **peer.enhancements}
    information: dict[str, amf0.Value] = {
        "level": "status",
        "code": errors.CONNECT_SUCCESS,
        "description": "Connection succeeded",
        "objectEncoding": 0,
        **peer.enhancements,
    }
    return messages.command(0, "_result", transaction, server, information)


def _negotiate(properties: Mapping[str, amf0.Value]) -> tuple[dict[str, amf0.Value], int]:
    """What both sides know, in the words the client used, and the capability bits that it shares with us."""
    answer: dict[str, amf0.Value] = {}
    shared = 0
    wanted = properties.get("fourCcList")
    if isinstance(wanted, list):
        ours = (*_VIDEO_FOURCCS, *_AUDIO_FOURCCS)
        answer["fourCcList"] = [fourcc for fourcc in ours if fourcc in wanted or "*" in wanted]
    for field, known in (("videoFourCcInfoMap", _VIDEO_FOURCCS), ("audioFourCcInfoMap", _AUDIO_FOURCCS)):
        offered = properties.get(field)
        if isinstance(offered, Mapping):
            answer[field] = {fourcc: _CAN_FORWARD for fourcc in known if fourcc in offered or "*" in offered}
    capabilities = properties.get("capsEx")
    if isinstance(capabilities, (int, float)) and 0 <= capabilities <= 0xFFFF_FFFF:
        answer["capsEx"] = shared = int(capabilities) & _CAPS
    return answer, shared
