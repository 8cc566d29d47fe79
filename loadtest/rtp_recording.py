"""A clip as a loop of ready-made RTP payloads: H.264 as OBS sends it, its sound as Opus from OBS or from a browser.

In: an FLV file. Out: payloads with their time in the loop; a `Player` numbers and times them for one stream, loop after
loop. Parameter sets stand before every key frame, NAL units are cut at 1200 bytes into FU-A (RFC 6184 5.8).
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple

import av

from loadtest.whip_peer import AUDIO_TYPE, VIDEO_TYPE

_FRAGMENT_BYTES = 1_200
_HEADER = Struct(">BBHII")
_SENDER_REPORT = Struct(">BBHIQIII")
_NTP_EPOCH_S = 2_208_988_800
_REPORT_EVERY_MS = 1_000


# How each makes Opus unless told otherwise: layout, bits a second, what it is tuned for.
_OPUS = {"obs": ("stereo", 96_000, "audio"), "browser": ("mono", 32_000, "voip")}


class Payload(NamedTuple):
    """One packet's content."""

    due_ms: float
    is_video: bool
    marker: bool
    body: bytes


def from_flv(data: bytes, *, loop_ms: int, encoder: str = "obs") -> list[Payload]:
    """The first `loop_ms` of a file, in order; `encoder` is a key of `_OPUS`."""
    payloads = [*_video(data, loop_ms), *_audio(data, loop_ms, encoder)]
    return sorted(payloads, key=lambda one: one.due_ms)


def _video(data: bytes, loop_ms: int) -> Iterator[Payload]:
    with av.open(io.BytesIO(data), mode="r") as container:
        stream = container.streams.video[0]
        record = bytes(stream.codec_context.extradata or b"")
        sets = parameter_sets(record)
        for packet in container.demux(stream):
            if packet.dts is None or packet.time_base is None:
                continue
            due_ms = float(packet.dts * packet.time_base * 1_000)
            if due_ms >= loop_ms:
                return
            bodies = list(bodies_of(bytes(packet), sets if packet.is_keyframe else []))
            for index, body in enumerate(bodies):
                yield Payload(due_ms, True, index == len(bodies) - 1, body)


def bodies_of(frame: bytes, sets: Sequence[bytes]) -> Iterator[bytes]:
    """A frame as MP4 holds it, behind its parameter sets where it is a key frame, as payloads of RTP packets."""
    for unit in (*sets, *_units(frame)):
        yield from _fragments(unit)


def parameter_sets(record: bytes) -> list[bytes]:
    """Those of an avcC (ISO 14496-15 5.3.3)."""
    sets, at = [], 5
    for mask in (0x1F, 0xFF):
        count = record[at] & mask
        at += 1
        for _ in range(count):
            length = int.from_bytes(record[at : at + 2], "big")
            sets.append(record[at + 2 : at + 2 + length])
            at += 2 + length
    return sets


def _units(frame: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(frame):
        length = int.from_bytes(frame[at : at + 4], "big")
        yield frame[at + 4 : at + 4 + length]
        at += 4 + length


def _fragments(unit: bytes) -> Iterator[bytes]:
    if len(unit) <= _FRAGMENT_BYTES:
        yield unit
        return
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
    for at in range(1, len(unit), _FRAGMENT_BYTES):
        first, last = at == 1, at + _FRAGMENT_BYTES >= len(unit)
        yield bytes((indicator, first << 7 | last << 6 | kind)) + unit[at : at + _FRAGMENT_BYTES]


def _audio(data: bytes, loop_ms: int, of: str) -> Iterator[Payload]:
    layout, rate_bps, purpose = _OPUS[of]
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, layout, "s16", rate_bps
    encoder.options = {"application": purpose}
    resampler = av.AudioResampler(format="s16", layout=layout, rate=48_000, frame_size=960)
    count = 0
    with av.open(io.BytesIO(data), mode="r") as container:
        for decoded in container.decode(container.streams.audio[0]):
            for frame in resampler.resample(decoded):
                frame.pts = None
                for packet in encoder.encode(frame):
                    if count * 20 >= loop_ms:
                        return
                    yield Payload(count * 20.0, False, count == 0, bytes(packet))
                    count += 1


class Source:
    """One track as RTP: numbers, times and reports."""

    def __init__(self, *, is_video: bool) -> None:
        self._kind = VIDEO_TYPE if is_video else AUDIO_TYPE
        self._ticks_per_ms = 90 if is_video else 48
        self.ssrc = secrets.randbits(32)
        self._offset = secrets.randbits(32)
        self._sequence = secrets.randbits(16)
        self._packets = self._bytes = 0

    def packet(self, body: bytes, *, marker: bool, at_ms: float) -> bytes:
        """The next packet."""
        self._sequence = self._sequence + 1 & 0xFFFF
        self._packets += 1
        self._bytes += len(body)
        return _HEADER.pack(0x80, self._kind | marker << 7, self._sequence, self._ticks(at_ms), self.ssrc) + body

    def report(self, at_ms: float, utc_s: float) -> bytes:
        """A sender report. `utc_s` is the wall clock at `at_ms`."""
        ntp = int((utc_s + _NTP_EPOCH_S) * (1 << 32))
        return _SENDER_REPORT.pack(0x80, 200, 6, self.ssrc, ntp, self._ticks(at_ms), self._packets, self._bytes)

    def _ticks(self, at_ms: float) -> int:
        return int(at_ms * self._ticks_per_ms) + self._offset & 0xFFFFFFFF


class Player:
    """One stream's way through the loop. Time never stands still and never goes back."""

    def __init__(self, payloads: list[Payload], *, loop_ms: int) -> None:
        self._payloads = payloads
        self._loop_ms = loop_ms
        self._next = 0
        self._base_ms = 0.0
        self._sources = {True: Source(is_video=True), False: Source(is_video=False)}
        self._report_ms = 0.0

    @property
    def due_ms(self) -> float:
        """When the next packet is due."""
        return self._base_ms + self._payloads[self._next].due_ms

    def take(self, now_ms: float) -> Iterator[bytes]:
        """RTP packets that are due at `now_ms` since the start."""
        while self.due_ms <= now_ms:
            payload = self._payloads[self._next]
            yield self._sources[payload.is_video].packet(payload.body, marker=payload.marker, at_ms=self.due_ms)
            self._next += 1
            if self._next == len(self._payloads):
                self._next = 0
                self._base_ms += self._loop_ms

    def reports(self, now_ms: float, utc_s: float) -> list[bytes]:
        """Sender reports, about once a second. `utc_s` is the wall clock at `now_ms`."""
        if now_ms < self._report_ms:
            return []
        self._report_ms = now_ms + _REPORT_EVERY_MS
        return [source.report(now_ms, utc_s) for source in self._sources.values()]

    def goodbye(self) -> bytes:
        """A BYE for both sources."""
        return b"\x82\xcb\x00\x02" + b"".join(one.ssrc.to_bytes(4, "big") for one in self._sources.values())
