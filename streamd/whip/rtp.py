"""RTP packets and the media formats that were negotiated for them.

In: one decrypted datagram. Out: `Packet`, or None for bytes that are no RTP: nothing here raises.
Source: RFC 3550 5.1 and 5.3.1, RFC 8285 (header extensions), RFC 4588 (retransmission).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from streamd.media.tracks import Codec

HEADER_BYTES = 12
_ONE_BYTE_FORM, _TWO_BYTE_FORM = 0xBEDE, 0x1000

_HEADER = Struct(">BBHII")
_u16_at = Struct(">H").unpack_from
_new = tuple.__new__


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadFormat:
    """One payload type of an m-line, as the answer accepted it.

    `fmtp` has lower-case keys. `rtx_payload_type` is the type whose `apt` is this one (RFC 4588), None without.
    """

    payload_type: int
    codec: Codec  # H264, HEVC, AV1 or OPUS
    clock_hz: int  # 90 000 for video, 48 000 for Opus
    fmtp: Mapping[str, str] = field(default_factory=dict)
    rtx_payload_type: int | None = None


class Packet(NamedTuple):
    """One packet. A NamedTuple and not a frozen dataclass: made some hundred times a second for each stream."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse(data: bytes) -> Packet | None:
    """The packet in `data`, without header extensions, contributing sources and padding. None when malformed."""
    size = len(data)
    if size < HEADER_BYTES:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        return None
    body = HEADER_BYTES
    if first & 0x1F:
        body += (first & 15) << 2
        if first & 0x10:
            if body + 4 > size:
                return None
            body += 4 + (_u16_at(data, body + 2)[0] << 2)
    if first & 0x20:
        padding = data[-1]
        size -= padding
        if not padding:
            return None
    if body > size:
        return None
    return _new(Packet, (second & 0x7F, second > 127, sequence, timestamp, ssrc, data[body:size]))


def extension(data: bytes, wanted_id: int) -> bytes | None:
    """The header extension with this id (the `extmap` number) in a packet that `parse` accepts; None without."""
    if len(data) < HEADER_BYTES or not data[0] & 0x10:
        return None
    at = HEADER_BYTES + ((data[0] & 15) << 2)
    if at + 4 > len(data):
        return None
    profile, words = _u16_at(data, at)[0], _u16_at(data, at + 2)[0]
    at += 4
    end = min(at + (words << 2), len(data))
    if profile == _ONE_BYTE_FORM:
        return _one_byte_element(data, at, end, wanted_id)
    if profile & 0xFFF0 == _TWO_BYTE_FORM:
        return _two_byte_element(data, at, end, wanted_id)
    return None


def _one_byte_element(data: bytes, at: int, end: int, wanted_id: int) -> bytes | None:
    while at < end:
        found, length = data[at] >> 4, (data[at] & 15) + 1
        at += 1
        if found == 15:  # reserved: the rest must not be read
            return None
        if not found:
            continue
        if found == wanted_id:
            return data[at : min(at + length, end)]
        at += length
    return None


def _two_byte_element(data: bytes, at: int, end: int, wanted_id: int) -> bytes | None:
    while at + 1 < end:
        found = data[at]
        if not found:
            at += 1
            continue
        length = data[at + 1]
        if found == wanted_id:
            return data[at + 2 : min(at + 2 + length, end)]
        at += 2 + length
    return None
