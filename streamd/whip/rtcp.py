"""RTCP: what a sender reports, and what a receiver answers.

In: one decrypted datagram, which may be a compound packet. Out: `SenderReport` and `Goodbye` in order; everything else
is passed over, and so is what follows a packet whose length lies. Nothing here raises for bytes from outside.
Built: receiver reports with an SDES item, generic NACK, picture loss indication, receiver estimated maximum bitrate;
join their bytes to send several as one compound packet, the receiver report first.
Source: RFC 3550 6, RFC 4585 6.2.1 and 6.3.1, draft-alvestrand-rmcat-remb 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple, TypeAlias

SENDER_REPORT, RECEIVER_REPORT, SDES, BYE, TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK = 200, 201, 202, 203, 205, 206
_GENERIC_NACK, _PICTURE_LOSS, _APPLICATION = 1, 1, 15
_CNAME = 1
_BLOCKS_COUNT = 31
# 17 packets an entry at best: what fits beside a report into one datagram.
_NACK_ENTRIES_COUNT = 250

_u16_at = Struct(">H").unpack_from
_u32_at = Struct(">I").unpack_from
_SENDER = Struct(">IQI")
_BLOCK = Struct(">IIIIII")


class SenderReport(NamedTuple):
    """The sender information of an SR."""

    ssrc: int
    ntp_time: int  # 64 bits, seconds since 1900 and their fraction; 0: the sender has no clock
    rtp_time: int


class Goodbye(NamedTuple):
    """Sources that have left."""

    ssrcs: tuple[int, ...]


Report: TypeAlias = SenderReport | Goodbye


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptionReport:
    """The fields of one report block (RFC 3550 6.4.1)."""

    ssrc: int
    fraction_lost: int  # of 256
    cumulative_lost: int  # signed, 24 bits
    highest_sequence: int  # extended, 32 bits
    jitter: int  # in the clock rate of the format
    last_report: int  # LSR: the middle 32 bits of the last SR's NTP time, 0 without
    since_last_report: int  # DLSR, in 1/65 536 s


def parse(data: bytes) -> list[Report]:
    """What the packets in `data` report."""
    found: list[Report] = []
    at = 0
    while at + 4 <= len(data) and data[at] >> 6 == 2:
        end = at + 4 + (_u16_at(data, at + 2)[0] << 2)
        if end > len(data):
            break
        kind = data[at + 1]
        if kind == SENDER_REPORT and end - at >= 28:
            found.append(SenderReport(*_SENDER.unpack_from(data, at + 4)))
        elif kind == BYE:
            count = min(data[at] & 31, (end - at - 4) >> 2)
            found.append(Goodbye(tuple(_u32_at(data, at + 4 + 4 * index)[0] for index in range(count))))
        at = end
    return found


def receiver_report(*, sender_ssrc: int, reports: Sequence[ReceptionReport], cname: str) -> bytes:
    """An RR with at most 31 blocks, and the SDES item without which no compound packet is complete."""
    blocks = b"".join(
        _BLOCK.pack(
            report.ssrc,
            report.fraction_lost << 24 | (report.cumulative_lost & 0xFFFFFF),
            report.highest_sequence,
            report.jitter,
            report.last_report,
            report.since_last_report,
        )
        for report in reports[:_BLOCKS_COUNT]
    )
    name = cname.encode()[:255]
    item = bytes((_CNAME, len(name))) + name
    chunk = sender_ssrc.to_bytes(4, "big") + item + bytes(4 - len(item) % 4)
    first = _packet(min(len(reports), _BLOCKS_COUNT), RECEIVER_REPORT, sender_ssrc.to_bytes(4, "big") + blocks)
    return first + _packet(1, SDES, chunk)


def nack(*, sender_ssrc: int, media_ssrc: int, sequences: Iterable[int]) -> bytes:
    """A generic NACK for 16-bit sequence numbers in ascending order (across the wrap); b"" when there are none."""
    entries: list[tuple[int, int]] = []
    for sequence in sequences:
        if entries:
            first, mask = entries[-1]
            distance = (sequence - first) & 0xFFFF
            if 0 < distance <= 16:
                entries[-1] = (first, mask | 1 << (distance - 1))
                continue
        if len(entries) == _NACK_ENTRIES_COUNT:
            break
        entries.append((sequence & 0xFFFF, 0))
    if not entries:
        return b""
    body = b"".join((first << 16 | mask).to_bytes(4, "big") for first, mask in entries)
    return _feedback(_GENERIC_NACK, TRANSPORT_FEEDBACK, sender_ssrc, media_ssrc, body)


def picture_loss(*, sender_ssrc: int, media_ssrc: int) -> bytes:
    """A picture loss indication: a request for a key frame."""
    return _feedback(_PICTURE_LOSS, PAYLOAD_FEEDBACK, sender_ssrc, media_ssrc, b"")


def maximum_bitrate(*, sender_ssrc: int, media_ssrcs: Sequence[int], bitrate_bps: int) -> bytes:
    """A REMB: what the sources may send together at most."""
    exponent = max(0, bitrate_bps.bit_length() - 18)
    limit = len(media_ssrcs) << 24 | exponent << 18 | bitrate_bps >> exponent
    body = b"REMB" + limit.to_bytes(4, "big") + b"".join(ssrc.to_bytes(4, "big") for ssrc in media_ssrcs)
    return _feedback(_APPLICATION, PAYLOAD_FEEDBACK, sender_ssrc, 0, body)


def _feedback(form: int, kind: int, sender_ssrc: int, media_ssrc: int, body: bytes) -> bytes:
    return _packet(form, kind, (sender_ssrc << 32 | media_ssrc).to_bytes(8, "big") + body)


def _packet(count: int, kind: int, body: bytes) -> bytes:
    return bytes((0x80 | count, kind)) + (len(body) >> 2).to_bytes(2, "big") + body
