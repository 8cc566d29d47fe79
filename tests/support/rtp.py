"""RTP as peers send it: packetizers of our own, and packets caught from ffmpeg."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

PAYLOAD_BYTES = 1_200


def packet(
    payload: bytes,
    *,
    sequence: int,
    timestamp: int,
    marker: bool = False,
    payload_type: int = 96,
    ssrc: int = 0x1234,
    csrcs: Sequence[int] = (),
    extension: tuple[int, bytes] | None = None,
    padding: int = 0,
) -> bytes:
    """One RTP packet. `extension` is the profile word and its data, a multiple of four bytes long."""
    first = 0x80 | len(csrcs) | (0x10 if extension else 0) | (0x20 if padding else 0)
    head = struct.pack(
        ">BBHII", first, payload_type | marker << 7, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc
    ) + b"".join(struct.pack(">I", each) for each in csrcs)
    if extension:
        head += struct.pack(">HH", extension[0], len(extension[1]) // 4) + extension[1]
    return head + payload + (bytes(padding - 1) + bytes((padding,)) if padding else b"")


class Sender:
    """Numbers packets. Timestamps and sequence numbers start where they are told to."""

    def __init__(self, *, payload_type: int = 96, ssrc: int = 0x1234, sequence: int = 65_500) -> None:
        self.payload_type = payload_type
        self.ssrc = ssrc
        self.sequence = sequence

    def unit(self, payloads: Sequence[bytes], timestamp: int, *, marker: bool = True) -> list[bytes]:
        """The packets of one frame."""
        packets = []
        for index, payload in enumerate(payloads):
            packets.append(
                packet(
                    payload,
                    sequence=self.sequence,
                    timestamp=timestamp,
                    marker=marker and index == len(payloads) - 1,
                    payload_type=self.payload_type,
                    ssrc=self.ssrc,
                )
            )
            self.sequence = (self.sequence + 1) & 0xFFFF
        return packets


def nals_of(payload: bytes) -> list[bytes]:
    """The NAL units of a frame in the house's form."""
    nals, at = [], 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 4], "big")
        nals.append(payload[at + 4 : at + 4 + size])
        at += 4 + size
    return nals


def h264_payloads(nals: Iterable[bytes], *, most: int = PAYLOAD_BYTES) -> list[bytes]:
    """One NAL unit a packet, or FU-A."""
    payloads: list[bytes] = []
    for nal in nals:
        if len(nal) <= most:
            payloads.append(nal)
            continue
        chunks = [nal[at : at + most - 2] for at in range(1, len(nal), most - 2)]
        for index, chunk in enumerate(chunks):
            bits = (index == 0) << 7 | (index == len(chunks) - 1) << 6 | nal[0] & 31
            payloads.append(bytes((nal[0] & 0xE0 | 28, bits)) + chunk)
    return payloads


def h264_aggregate(nals: Iterable[bytes]) -> bytes:
    """STAP-A."""
    return b"\x78" + b"".join(struct.pack(">H", len(nal)) + nal for nal in nals)


def hevc_payloads(nals: Iterable[bytes], *, most: int = PAYLOAD_BYTES) -> list[bytes]:
    """One NAL unit a packet, or FU."""
    payloads: list[bytes] = []
    for nal in nals:
        if len(nal) <= most:
            payloads.append(nal)
            continue
        chunks = [nal[at : at + most - 3] for at in range(2, len(nal), most - 3)]
        for index, chunk in enumerate(chunks):
            bits = (index == 0) << 7 | (index == len(chunks) - 1) << 6 | nal[0] >> 1 & 63
            payloads.append(bytes((nal[0] & 0x81 | 49 << 1, nal[1], bits)) + chunk)
    return payloads


def hevc_aggregate(nals: Iterable[bytes]) -> bytes:
    """AP."""
    return b"\x60\x01" + b"".join(struct.pack(">H", len(nal)) + nal for nal in nals)


def leb128(value: int) -> bytes:
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return bytes((*coded, value))


def obus_of(temporal_unit: bytes) -> list[bytes]:
    """The OBUs of a unit in low-overhead form, without their sizes and without temporal delimiters: as RTP has them."""
    obus, at = [], 0
    while at < len(temporal_unit):
        first = temporal_unit[at]
        body = at + 1 + (first >> 2 & 1)
        size, place = 0, 0
        while True:
            byte = temporal_unit[body]
            size |= (byte & 127) << place
            place += 7
            body += 1
            if byte < 128:
                break
        head = bytes((first & ~2,)) + (temporal_unit[at + 1 : at + 2] if first & 4 else b"")
        if first >> 3 & 15 != 2:
            obus.append(head + temporal_unit[body : body + size])
        at = body + size
    return obus


def av1_payloads(obus: Sequence[bytes], *, most: int = PAYLOAD_BYTES, counted: bool, starts: bool) -> list[bytes]:
    """Packets with as much in each as fits. `counted`: W tells the number of elements where it can (at most 3)."""
    payloads: list[bytes] = []
    elements: list[bytes] = []
    room, goes_on = most - 1, False

    def close(*, continued: bool) -> None:
        nonlocal elements, room, goes_on
        has_count = counted and len(elements) <= 3
        header = goes_on << 7 | continued << 6 | (len(elements) << 4 if has_count else 0)
        header |= (starts and not payloads) << 3
        last = len(elements) - 1
        body = b"".join(
            (b"" if has_count and index == last else leb128(len(each))) + each for index, each in enumerate(elements)
        )
        payloads.append(bytes((header,)) + body)
        elements, room, goes_on = [], most - 1, continued

    for obu in obus:
        rest = obu
        while rest:
            take = min(len(rest), room - 2)
            if take < 1:
                close(continued=False)
                continue
            elements.append(rest[:take])
            room -= take + 2
            rest = rest[take:]
            if rest:
                close(continued=True)
    if elements:
        close(continued=False)
    return payloads


def is_rtcp(data: bytes) -> bool:
    """RFC 5761 4."""
    return 192 <= data[1] <= 223


def caught_from_ffmpeg(arguments: Sequence[str], sdp: Path | None = None) -> list[bytes]:
    """The packets that `ffmpeg … -f rtp` sends, RTP and RTCP, in the order of arrival."""
    packets: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.3)
        over = threading.Event()

        def catch() -> None:
            while True:
                try:
                    packets.append(receiver.recv(65_536))
                except TimeoutError:
                    if over.is_set():
                        return

        catcher = threading.Thread(target=catch)
        catcher.start()
        try:
            command = ["ffmpeg", "-nostdin", "-v", "error", *arguments, "-f", "rtp"]
            command += ["-sdp_file", str(sdp)] if sdp else []
            port = receiver.getsockname()[1]
            address = f"rtp://127.0.0.1:{port}?rtcpport={port}&pkt_size=1200"
            subprocess.run([*command, address], check=True, timeout=60, stdout=subprocess.DEVNULL)
        finally:
            over.set()
            catcher.join()
    return packets
